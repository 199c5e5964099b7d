"""What a head's identity coefficients say about age, sex and ancestry, and people drawn by them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfnet.errors import InputError, fail
from mfnet.flame.arrays import array_field, float_array

Ranges = Mapping[str, tuple[float, float]]
"""Attribute -> least and most."""
MAX_ATTRIBUTES = 32
_LARGEST = 1e4  # years squared are its largest numbers
_PREFIX = "population_"


@dataclass(frozen=True)
class Population:
    """The people that a head's N(0, 1) identity coefficients z stand for: attributes a are jointly normal with z.

    Given the attributes, z is normal with mean ``slope (a - mean)`` and covariance ``I - slope covariance slope'``.
    """

    names: tuple[str, ...]  # of the A attributes
    mean: np.ndarray  # [A]
    covariance: np.ndarray  # [A, A]
    slope: np.ndarray  # [S, A] change of the coefficients per unit of an attribute

    def draw_attributes(self, count: int, rng: np.random.Generator, ranges: Ranges) -> np.ndarray:
        """Attributes [count, A] of random people: evenly within `ranges`, else as in the population.

        Raises InputError for a range of an attribute that the head does not know.
        """
        if unknown := set(ranges) - set(self.names):
            raise InputError(
                f"populations: the head knows no {', '.join(sorted(unknown))}, only {', '.join(self.names)}"
            )
        found = rng.multivariate_normal(self.mean, self.covariance, count, method="cholesky")
        for name, (least, most) in ranges.items():
            found[:, self.names.index(name)] = rng.uniform(least, most, count)
        return found

    def draw(self, attributes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Identity coefficients [N, S] of random people with attributes [N, A].

        Attributes drawn from N(mean, covariance) give N(0, 1) coefficients again; others shift the population.
        """
        shared = self.slope @ np.linalg.cholesky(self.covariance)  # [S, A]; its part of z is taken out of the noise
        axes, sizes, _ = np.linalg.svd(shared, full_matrices=False)
        left = np.sqrt(np.maximum(1 - sizes**2, 0)) - 1
        noise = rng.standard_normal((len(attributes), len(self.slope)))
        return (attributes - self.mean) @ self.slope.T + noise + (noise @ axes * left) @ axes.T


def population_fields(population: Population) -> dict[str, np.ndarray]:
    """The table as fields of a head's npz."""
    return {
        f"{_PREFIX}names": np.array(population.names),
        f"{_PREFIX}mean": population.mean,
        f"{_PREFIX}covariance": population.covariance,
        f"{_PREFIX}slope": population.slope,
    }


def population_from_fields(fields: dict, n_shape: int, path: str | Path) -> Population | None:
    """The inverse of `population_fields`, checked, or None where a head of `n_shape` coefficients has no table.

    Raises InputError naming `path` and the field.
    """
    key = f"{_PREFIX}names"
    if key not in fields:
        return None
    names = array_field(fields, key, (None,), path)
    if names.dtype.kind != "U" or not 1 <= len(names) <= MAX_ATTRIBUTES or len(set(names.tolist())) < len(names):
        fail(path, key, f"is not 1 to {MAX_ATTRIBUTES} different names")
    mean, covariance, slope = (
        float_array(fields, f"{_PREFIX}{name}", shape, path, _LARGEST).astype(np.float64)
        for name, shape in (
            ("mean", (len(names),)),
            ("covariance", (len(names), len(names))),
            ("slope", (n_shape, len(names))),
        )
    )
    if not np.allclose(covariance, covariance.T) or np.linalg.eigvalsh(covariance).min() <= 0:
        fail(path, f"{_PREFIX}covariance", "is no covariance: not symmetric and positive definite")
    return Population(tuple(names.tolist()), mean, covariance, slope)
