"""The attributes' table of the head: how its identity coefficients move with sex, age and ancestry."""

import numpy as np

from mfnet.flame.population import Population
from scripts.makehuman.people import THIRD

UNITS = {
    "sex": ("male", 1.0, 0.5),
    "age": ("age", 65.0, 25.0),
    "african": ("african", 1.0, THIRD),
    "asian": ("asian", 1.0, THIRD),
    "muscle": ("muscle", 1.0, 0.5),
    "weight": ("weight", 1.0, 0.5),
}
"""Attribute of `people.ATTRIBUTES`, in their order -> its name in the table, what one unit is there, and where 0 is."""


def fit_population(attributes: np.ndarray, people: np.ndarray, mean: np.ndarray, directions: np.ndarray) -> Population:
    """Regression over random people.

    attributes [N, A]: the first columns of `Statistics.draw`; people [N, V, 3]: the same, rigidly aligned to the
    head's mean [V, 3]; directions [V, 3, S] per standard deviation. The table speaks of years and shares (`UNITS`).
    """
    names, scale, zero = zip(*UNITS.values(), strict=True)
    attributes = attributes * scale + zero
    basis = directions.reshape(-1, directions.shape[-1])
    offsets = (people - mean).reshape(len(people), -1)
    codes = np.linalg.solve(basis.T @ basis, basis.T @ offsets.T).T
    middle = attributes.mean(0)
    centred = attributes - middle
    covariance = centred.T @ centred / len(people)
    slope = np.linalg.solve(covariance, centred.T @ (codes - codes.mean(0)) / len(people)).T
    return Population(names, middle, covariance, slope)
