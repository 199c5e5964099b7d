"""The attributes' table of the head: how its identity coefficients move with sex, age and ancestry."""

import numpy as np

from mfnet.flame.population import Population
from scripts.makehuman.people import ATTRIBUTES


def fit_population(attributes: np.ndarray, people: np.ndarray, mean: np.ndarray, directions: np.ndarray) -> Population:
    """Regression over random people.

    attributes [N, A]: the first columns of `Statistics.draw`; people [N, V, 3]: the same, rigidly aligned to the
    head's mean [V, 3]; directions [V, 3, S] per standard deviation.
    """
    basis = directions.reshape(-1, directions.shape[-1])
    offsets = (people - mean).reshape(len(people), -1)
    codes = np.linalg.solve(basis.T @ basis, basis.T @ offsets.T).T
    middle = attributes.mean(0)
    centred = attributes - middle
    covariance = centred.T @ centred / len(people)
    slope = np.linalg.solve(covariance, centred.T @ (codes - codes.mean(0)) / len(people)).T
    return Population(ATTRIBUTES, middle, covariance, slope)
