"""From pictures to the surface."""

import numpy as np
import pytest

from mfnet.locating.look import Sightings
from mfnet.locating.solve import carry_back, median, shown_faces, solve

FACES = np.array([[0, 1, 2], [1, 3, 2]])
TEMPLATE = np.array([[0.0, 0, 0], [0.01, 0, 0], [0, 0.01, 0], [0.01, 0.01, 0]])
PLACE = np.array([0.008, 0.006, 0])


@pytest.fixture
def seen() -> Sightings:
    """Ten pictures of a square of 1 cm, each shifted; every point of the mesh lies at `PLACE`, give or take a pixel."""
    rng = np.random.default_rng(0)
    shift = rng.uniform(20, 60, (10, 1, 2))
    vertices = shift + TEMPLATE[None, :, :2] * 1e4
    mesh = (shift + PLACE[:2] * 1e4).repeat(478, 1) + rng.normal(0, 0.5, (10, 478, 2))
    face = np.full((10, 256, 256), -1)
    for row in range(10):
        left, top = shift[row, 0]
        rows, columns = np.mgrid[0:256, 0:256] + 0.5
        x, y = columns - left, rows - top
        inside = (x > 0) & (y > 0) & (x < 100) & (y < 100)
        face[row] = np.where(inside, np.where(x + y < 100, 0, 1), -1)
    facing, pixels = np.ones((10, 4)), np.zeros((10, 256, 256, 3), np.uint8)
    return Sightings(mesh, vertices, facing, face, np.zeros(10), np.arange(10), pixels, 10)


def test_points_are_carried_back_to_where_they_lie(seen):
    np.testing.assert_allclose(carry_back(seen, TEMPLATE, FACES), PLACE + np.zeros((478, 3)), atol=1e-4)
    assert shown_faces(seen, 3).tolist() == [True, True, False]


def test_the_triangle_that_explains_all_pictures_is_found(seen):
    found = solve(seen, np.arange(5), np.zeros((5, 3)), TEMPLATE, FACES, np.ones(2, bool))
    assert found.faces.tolist() == [1] * 5
    np.testing.assert_allclose(found.on(TEMPLATE, FACES), PLACE + np.zeros((5, 3)), atol=1e-4)


def test_one_point_far_away_moves_the_median_little():
    points = np.random.default_rng(0).normal(0, 1e-3, (21, 3))
    points[0] = 5
    assert np.linalg.norm(median(points)) < 1e-3
