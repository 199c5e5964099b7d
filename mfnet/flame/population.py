"""What a head's identity coefficients say about age, sex and ancestry, and people drawn by them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Population:
    """The people that a head's N(0, 1) identity coefficients z stand for: attributes a are jointly normal with z.

    Given the attributes, z is normal with mean ``slope (a - mean)`` and covariance ``I - slope covariance slope'``.
    """

    names: tuple[str, ...]  # of the A attributes
    mean: np.ndarray  # [A]
    covariance: np.ndarray  # [A, A]
    slope: np.ndarray  # [S, A] change of the coefficients per unit of an attribute

    def draw(self, attributes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Identity coefficients [N, S] of random people with attributes [N, A].

        Attributes drawn from N(mean, covariance) give N(0, 1) coefficients again; others shift the population.
        """
        shared = self.slope @ np.linalg.cholesky(self.covariance)  # [S, A]; its part of z is taken out of the noise
        axes, sizes, _ = np.linalg.svd(shared, full_matrices=False)
        left = np.sqrt(np.maximum(1 - sizes**2, 0)) - 1
        noise = rng.standard_normal((len(attributes), len(self.slope)))
        return (attributes - self.mean) @ self.slope.T + noise + (noise @ axes * left) @ axes.T
