"""People drawn by their attributes."""

import numpy as np
import pytest

from mfnet.errors import InputError
from mfnet.flame.population import Population, population_fields, population_from_fields


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


def test_a_table_comes_back_from_its_fields(population):
    back = population_from_fields(population_fields(population), 6, "head.npz")
    assert back is not None and back.names == population.names
    for name in ("mean", "covariance", "slope"):
        assert np.array_equal(getattr(back, name), getattr(population, name))
    assert population_from_fields({}, 6, "head.npz") is None


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("names", np.array(["age", "age"]), "is not 1 to 32 different names"),
        ("names", np.array([1, 2]), "is not 1 to 32 different names"),
        ("mean", np.zeros(3), "has shape 3, expected 2"),
        ("slope", np.zeros((5, 2)), "has shape 5 x 2, expected 6 x 2"),
        ("covariance", np.array([[1.0, 2.0], [2.0, 1.0]]), "is no covariance"),
        ("covariance", np.full((2, 2), np.nan), "not finite"),
    ],
)
def test_a_table_that_is_none_is_refused(population, field, value, line):
    fields = population_fields(population) | {f"population_{field}": value}
    with pytest.raises(InputError, match=rf"head\.npz: field 'population_{field}' .*{line}"):
        population_from_fields(fields, 6, "head.npz")


def test_ranges_hold_and_the_rest_is_as_in_the_population(population):
    drawn = population.draw_attributes(20_000, np.random.default_rng(3), {"age": (0.4, 0.5)})
    assert drawn[:, 1].min() >= 0.4 and drawn[:, 1].max() <= 0.5
    assert drawn[:, 0].mean() == pytest.approx(population.mean[0], abs=0.05)
    assert drawn[:, 0].std() == pytest.approx(population.covariance[0, 0] ** 0.5, rel=0.05)
