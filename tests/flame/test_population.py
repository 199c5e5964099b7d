"""People drawn by their attributes."""

import numpy as np
import pytest

from mfnet.flame.population import Population


@pytest.fixture(scope="module")
def population() -> Population:
    """Coefficients of which two attributes explain a part: a joint normal distribution by construction."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(2, 2))
    axes, _ = np.linalg.qr(rng.normal(size=(6, 2)))
    slope = axes * (0.8, 0.5) @ np.linalg.inv(root)
    return Population(("sex", "age"), np.array([0.5, 0.3]), root @ root.T, slope)


def test_attributes_of_the_population_give_normal_coefficients(population):
    rng = np.random.default_rng(1)
    attributes = rng.multivariate_normal(population.mean, population.covariance, 40_000)
    codes = population.draw(attributes, rng)
    assert np.allclose(codes.mean(0), 0, atol=0.03)
    assert np.allclose(np.cov(codes.T), np.eye(6), atol=0.04)


def test_other_attributes_shift_the_mean_and_keep_the_rest(population):
    attributes = np.tile(population.mean + np.array([2.0, -1.0]), (40_000, 1))
    codes = population.draw(attributes, np.random.default_rng(2))
    wanted = np.eye(6) - population.slope @ population.covariance @ population.slope.T
    assert np.allclose(codes.mean(0), population.slope @ np.array([2.0, -1.0]), atol=0.03)
    assert np.allclose(np.cov(codes.T), wanted, atol=0.04)


def test_a_seed_decides_the_people(population):
    attributes = np.tile(population.mean, (3, 1))
    first, second = (population.draw(attributes, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)
