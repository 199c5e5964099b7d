import itertools

import igl
import numpy as np
import pytest

from mfnet.scoring.closest import _triangle, surface_distances
from mfnet.scoring.cylinder import SIZE, GridSurface, grid_surface


def rough_map(seed: int, holes: float) -> np.ndarray:
    """A wavy head with holes and steps."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:256, 0:256]
    angle = columns * 2 * np.pi / 255
    distance = 80 + 8 * np.sin(3 * angle) + 6 * np.sin(rows / 15) + rng.normal(0, 0.5, (256, 256))
    distance[:, 255] = distance[:, 0]
    distance[rng.random((256, 256)) < holes] = 0
    distance[:60] = distance[200:] = 0
    return distance


def libigl_distances(points: np.ndarray, surface: GridSurface) -> np.ndarray:
    return np.sqrt(igl.point_mesh_squared_distance(points, surface.vertices, surface.faces)[0])


@pytest.mark.parametrize(
    ("holes", "shift"),
    [(0.0, (0, 0, 0)), (0.02, (0.3, -0.2, 0.4)), (0.3, (4, 2, -7)), (0.02, (60, 50, 900)), (0.02, (0, -200, 0))],
)
def test_distances_are_those_of_libigl(holes, shift):
    surface = grid_surface(rough_map(1, holes))
    other = grid_surface(rough_map(2, holes))
    points = other.vertices[other.used][::7] + np.array(shift)
    np.testing.assert_allclose(surface_distances(points, surface), libigl_distances(points, surface), atol=1e-7)


def test_points_far_from_the_surface_and_within_it():
    surface = grid_surface(rough_map(3, 0.1))
    points = np.random.default_rng(0).uniform(-120, 120, (200, 3))
    np.testing.assert_allclose(surface_distances(points, surface), libigl_distances(points, surface), atol=1e-7)


def test_points_of_the_surface_have_no_distance():
    surface = grid_surface(rough_map(4, 0.0))
    assert surface_distances(surface.vertices[surface.used], surface).max() < 1e-9


def test_slivers_of_the_last_column_count():
    """Their corners lie on one line, and reach down two rows."""
    surface = grid_surface(rough_map(5, 0.0))
    rows = np.arange(SIZE * SIZE).reshape(SIZE, SIZE)
    alone = GridSurface(surface.vertices, surface.quads & np.isin(np.arange(SIZE * SIZE), rows[:, -1]))
    points = surface.vertices[surface.used][::97] + np.array([0.1, 0.2, -0.3])
    np.testing.assert_allclose(surface_distances(points, alone), libigl_distances(points, alone), atol=1e-6)


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        (([1.0, 2, 3], [1.0, 2, 3], [1.0, 7, 3]), [0.0, 3.0, 2.0]),
        (([1.0, 2, 3], [1.0, 7, 3], [1.0, 4, 3]), [0.0, 3.0, 2.0]),
        (([1.0, 2, 3], [1.0, 2, 3], [1.0, 2, 3]), [3.0, 5.0, 7.0]),
    ],
)
def test_triangles_without_area_count(corners, expected):
    """Segments, and a point."""
    points = np.array([[1.0, 5.0, 3.0], [4.0, 6.0, 3.0], [1.0, 9.0, 3.0]])
    for order in itertools.permutations(corners):
        distances = [np.sqrt(_triangle(*point, np.array(order), 0, 1, 2)) for point in points]
        assert distances == pytest.approx(expected, abs=1e-12)


def test_a_triangle_is_that_of_libigl():
    rng = np.random.default_rng(6)
    for corners in rng.normal(0, 1, (50, 3, 3)):
        points = 3 * rng.normal(0, 1, (20, 3))
        expected = igl.point_mesh_squared_distance(points, corners, np.array([[0, 1, 2]]))[0]
        assert [_triangle(*point, corners, 0, 1, 2) for point in points] == pytest.approx(expected, abs=1e-12)
