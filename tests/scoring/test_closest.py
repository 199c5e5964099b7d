import igl
import numpy as np
import pytest

from mfnet.scoring.closest import surface_distances
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
    ("holes", "shift", "tolerance"),
    [
        (0.0, (0, 0, 0), 5e-5),
        (0.02, (0.3, -0.2, 0.4), 5e-5),
        (0.3, (4, 2, -7), 5e-5),
        (0.02, (60, 50, 900), 1e-3),  # float32 of a thousand
    ],
)
def test_distances_are_those_of_libigl(holes, shift, tolerance):
    surface = grid_surface(rough_map(1, holes))
    other = grid_surface(rough_map(2, holes))
    points = other.vertices[other.used][::7] + np.array(shift)
    distances, expected = surface_distances(points, surface), libigl_distances(points, surface)
    np.testing.assert_allclose(distances, expected, atol=tolerance)
    assert abs(distances.mean() - expected.mean()) < tolerance / 10  # what CD is made from


def test_points_far_from_the_surface_and_within_it():
    surface = grid_surface(rough_map(3, 0.1))
    points = np.random.default_rng(0).uniform(-120, 120, (200, 3))
    np.testing.assert_allclose(surface_distances(points, surface), libigl_distances(points, surface), atol=1e-4)


def test_points_of_the_surface_have_no_distance():
    surface = grid_surface(rough_map(4, 0.0))
    assert surface_distances(surface.vertices[surface.used], surface).max() < 5e-5


@pytest.mark.parametrize("flat", ["segment", "point"])
def test_triangles_without_area_count(flat):
    """The slivers of column 255 are segments; a quad whose corners coincide is a point."""
    vertices = np.full((SIZE * SIZE, 3), 500.0)
    corners = np.array([0, 1, SIZE, SIZE + 1])
    vertices[corners] = [1.0, 2.0, 3.0]
    if flat == "segment":
        vertices[[SIZE, SIZE + 1]] = [1.0, 7.0, 3.0]
    quads = np.zeros(SIZE * SIZE, bool)
    quads[0] = True
    points = np.array([[1.0, 5.0, 3.0], [4.0, 6.0, 3.0], [1.0, 9.0, 3.0]])
    expected = [0.0, 3.0, 2.0] if flat == "segment" else [3.0, 5.0, 7.0]
    np.testing.assert_allclose(surface_distances(points, GridSurface(vertices, quads)), expected, atol=1e-5)
