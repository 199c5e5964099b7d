import numpy as np
import pytest

from mfnet.scoring.cylinder import ANGLES, DIRECTIONS, HEIGHTS, cylinder_map, grid_surface
from mfnet.scoring.meshes import ItemError


def brute_force(vertices, faces, height, direction):
    """Farthest hit of one ray by solving o + t d = a + u e1 + v e2 for every face."""
    a, b, c = vertices[faces].swapaxes(0, 1)
    ray = np.array([direction[0], 0.0, direction[1]])
    best = 0.0
    for corner, first, second in zip(a, b - a, c - a, strict=True):
        matrix = np.column_stack([-ray, first, second])
        if abs(np.linalg.det(matrix)) < 1e-12:
            continue
        t, u, v = np.linalg.solve(matrix, [0.0, height, 0.0] - corner)
        if t > 0 and u >= 0 and v >= 0 and u + v <= 1:
            best = max(best, t)
    return best


def test_every_ray_finds_what_brute_force_finds():
    rng = np.random.default_rng(5)
    vertices = rng.uniform(-140, 140, (60, 3))
    faces = rng.integers(0, 60, (40, 3))
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])]
    found = cylinder_map(vertices, faces)
    for row, column in rng.integers(0, 256, (300, 2)):
        expected = brute_force(vertices, faces, HEIGHTS[row], DIRECTIONS[column % 255])
        assert found.distance[row, column] == pytest.approx(expected, abs=1e-9), (row, column)
        assert (found.face[row, column] >= 0) == (expected > 0)


def test_an_ellipsoid_has_no_gap_and_the_right_radius(scene):
    found = cylinder_map(*vars(scene.ball()).values())
    inside = np.abs(HEIGHTS) < 88
    assert (found.distance[inside] > 0).all() and not found.distance[np.abs(HEIGHTS) > 91].any()
    share = np.sqrt(1 - (HEIGHTS[inside] / 90) ** 2)
    radius = 1 / np.hypot(np.sin(ANGLES) / 70, np.cos(ANGLES) / 80)
    np.testing.assert_allclose(found.distance[inside], share[:, None] * radius, rtol=0.01, atol=0.3)


def test_vertices_on_rays_leave_no_gap():
    """Every vertex lies exactly on a row and a column: the hardest case for a ray between triangles."""
    rows, columns = np.meshgrid(np.arange(40, 200), np.arange(255), indexing="ij")
    radius = 80 + 10 * np.sin(rows / 20)
    vertices = np.stack([radius * DIRECTIONS[columns, 0], HEIGHTS[rows], radius * DIRECTIONS[columns, 1]], 2)
    k = np.arange(159 * 255).reshape(159, 255)
    right = np.roll(k, -1, 1)
    faces = np.concatenate(
        [np.stack(t, 2).reshape(-1, 3) for t in ((k, right, k + 255), (right + 255, k + 255, right))]
    )
    found = cylinder_map(vertices.reshape(-1, 3), faces)
    assert (found.distance[41:199] > 0).all()
    np.testing.assert_allclose(found.distance[41:199, :255], radius[1:159], rtol=1e-9)


def test_the_outer_layer_wins_and_columns_point_where_they_should(scene):
    inner, outer = scene.ball((30, 40, 35)), scene.ball()
    vertices = np.concatenate([outer.vertices, inner.vertices])
    both = cylinder_map(vertices, np.concatenate([inner.faces + len(outer.vertices), outer.faces]))
    np.testing.assert_array_equal(both.distance, cylinder_map(outer.vertices, outer.faces).distance)
    nose = scene.ball((5, 5, 5), centre=(0, 0, 100))
    columns = np.flatnonzero(cylinder_map(nose.vertices, nose.faces).distance.any(axis=0))
    assert columns.min() > 122 and columns.max() < 133  # the face is in the middle
    left = scene.ball((5, 5, 5), centre=(-100, 0, 0))
    columns = np.flatnonzero(cylinder_map(left.vertices, left.faces).distance.any(axis=0))
    assert abs(columns.mean() - 63.75) < 1  # -x at a quarter


def test_a_head_beside_the_axis_is_seen_on_its_side_only(scene):
    mesh = scene.ball((20, 20, 20), centre=(0, 0, 60))
    found = cylinder_map(mesh.vertices, mesh.faces)
    assert not found.distance[:, :64].any() and not found.distance[:, 192:].any()
    assert found.distance.max() == pytest.approx(80, abs=0.2)


def test_the_surface_joins_neighbours_below_fifteen_millimetres():
    distance = np.zeros((256, 256))
    distance[100:103, 50:53] = 90.0
    surface = grid_surface(distance)
    assert surface.quads.sum() == 4 and surface.used.sum() == 9
    np.testing.assert_allclose(np.hypot(*surface.vertices[surface.used][:, [0, 2]].T), 90)
    distance[101, 51] = 104.9
    assert grid_surface(distance).quads.sum() == 4
    distance[101, 51] = 105.0
    assert grid_surface(distance).quads.sum() == 0


def test_faces_and_used_vertices_belong_together():
    distance = np.where(np.random.default_rng(0).random((256, 256)) < 0.9, 80.0, 0.0)
    distance[:5] = distance[-5:] = 0
    surface = grid_surface(distance)
    np.testing.assert_array_equal(np.unique(surface.faces), np.flatnonzero(surface.used))
    assert len(surface.faces) == 2 * surface.quads.sum()


def test_the_last_column_runs_on_into_the_next_rows():
    """The official vertex numbers: the sliver of (i, 255) names (i + 1, 0) and (i + 2, 0), even where that is empty."""
    distance = np.zeros((256, 256))
    distance[100:102] = 80.0
    surface = grid_surface(distance)
    assert surface.quads[100 * 256 + 255] and surface.used[102 * 256]
    np.testing.assert_allclose(surface.vertices[102 * 256, [0, 2]], 0)  # a point on the axis, as officially


def test_reaching_the_lower_end_at_the_back_is_no_number():
    distance = np.zeros((256, 256))
    distance[200:] = 80.0
    with pytest.raises(ItemError) as caught:
        grid_surface(distance)
    assert caught.value.status == "beyond_cylinder"
    distance[:, 250:] = 0
    grid_surface(distance)
