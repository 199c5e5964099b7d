"""The statistics of the open head's people: the committed table, draws from it, and MakeHuman's directions."""

import numpy as np
import pytest

from scripts.makehuman.people import ATTRIBUTES, BOUNDS, Directions, Statistics, read_statistics, write_statistics

IMAGE = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def statistics() -> Statistics:
    return read_statistics()


@pytest.fixture(scope="module")
def odd(statistics: Statistics) -> np.ndarray:
    """Names say which details a mirror turns round."""
    sideways = (
        "head/head-trans-in-out",
        "nose/nose-trans-in-out",
        "mouth/mouth-trans-in-out",
        "neck/neck-trans-in-out",
    )
    return np.array([n.startswith("asym/") or "/odd-" in n or n in sideways for n in statistics.names])


def test_people_and_their_mirror_images_are_equally_likely(statistics, odd):
    covariance = statistics.factor @ statistics.factor.T
    assert (statistics.mean[odd] == 0).all()
    assert (covariance[np.ix_(odd, ~odd)] == 0).all()
    assert odd.any() and (np.diag(covariance) > 0).all()


def test_attributes_come_first_and_say_nothing_about_details(statistics):
    count = len(ATTRIBUTES)
    assert statistics.names[:count] == ATTRIBUTES
    assert (statistics.factor[count:, :count] == 0).all()
    assert np.allclose(statistics.factor, np.tril(statistics.factor))


def test_a_mean_person_is_well_within_the_bounds(statistics):
    middle, half = (statistics.upper + statistics.lower) / 2, (statistics.upper - statistics.lower) / 2
    assert (np.abs(statistics.mean - middle) <= 0.61 * half).all()


def test_draws_are_deterministic_and_within_bounds(statistics):
    drawn = statistics.draw(500, 3)
    assert np.array_equal(drawn, statistics.draw(500, 3))
    assert not np.array_equal(drawn, statistics.draw(500, 4))
    assert (drawn >= statistics.lower).all() and (drawn <= statistics.upper).all()
    for column, name in enumerate(ATTRIBUTES):
        assert BOUNDS[name] == (statistics.lower[column], statistics.upper[column])


def test_few_draws_reach_a_bound(statistics):
    drawn = statistics.draw(2000, 0)
    at_bound = (drawn == statistics.lower) | (drawn == statistics.upper)
    assert at_bound[:, len(ATTRIBUTES) :].mean() < 0.005


def test_draws_vary_as_the_table_says(statistics):
    details = slice(len(ATTRIBUTES), None)
    drawn = statistics.draw(4000, 1)[:, details]
    wanted = np.linalg.norm(statistics.factor, axis=1)[details]
    assert np.allclose(drawn.std(0), wanted, rtol=0.1)


def test_the_table_survives_its_file(statistics, tmp_path):
    path = tmp_path / "people.npz"
    write_statistics(statistics, path)
    again = read_statistics(path)
    assert again.names == statistics.names
    assert np.array_equal(again.mean, statistics.mean) and np.array_equal(again.factor, statistics.factor)


def test_a_mirrored_person_has_mirrored_coefficients():
    rng = np.random.default_rng(0)
    partner = np.array([1, 0, 3, 2])

    def field(sign: int) -> np.ndarray:
        one = rng.normal(size=(4, 3))
        return one + sign * one[partner] * IMAGE

    directions = Directions(field(1), ("even", "odd"), np.stack([field(1), field(-1)]), np.array([False, True]))
    coefficients = rng.normal(size=(5, 2))
    mirrored = directions.vertices(coefficients)[:, partner] * IMAGE
    assert np.allclose(directions.vertices(directions.mirrored(coefficients)), mirrored)
