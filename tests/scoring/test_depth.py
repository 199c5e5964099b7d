import numpy as np
import pytest

from mfnet.scoring.depth import depth_offset, orthographic_depth, perspective_depth

INTRINSICS = np.array([[300.0, 0, 128], [0, 300, 128], [0, 0, 1]])
SQUARE = np.array([[0, 1, 2], [0, 2, 3]])


def soup(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    faces = rng.permuted(np.tile(np.arange(30), (25, 1)), axis=1)[:, :3]
    return rng.uniform(-1, 1, (30, 3)), faces


def cast(vertices, faces, origin, ray):
    """Nearest distance along one ray over faces whose normals point against it."""
    best = np.inf
    for a, b, c in vertices[faces]:
        normal = np.cross(b - a, c - a)
        if normal @ ray >= 0:
            continue
        t, u, v = np.linalg.solve(np.column_stack([-ray, b - a, c - a]), origin - a)
        if t > 0 and u >= 0 and v >= 0 and u + v <= 1:
            best = min(best, t)
    return 0.0 if np.isinf(best) else best


def test_orthographic_depth_is_that_of_rays_through_pixel_centres():
    vertices, faces = soup(0)
    vertices[:, 2] -= 3
    depth = orthographic_depth(vertices * 100, faces, 100.0)
    for row, column in np.random.default_rng(1).integers(0, 256, (200, 2)):
        origin = np.array([(column + 0.5) / 128 - 1, 1 - (row + 0.5) / 128, 0.0])
        expected = 100 * cast(vertices, faces, origin, np.array([0, 0, -1.0]))
        assert depth[row, column] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("distance", [3.0, 0.6])  # the nearer one reaches behind the camera
def test_perspective_depth_is_that_of_rays_through_pixel_centres(distance):
    vertices, faces = soup(2)
    vertices[:, 2] += distance
    depth = perspective_depth(vertices * 100, faces, INTRINSICS)
    for row, column in np.random.default_rng(3).integers(0, 256, (200, 2)):
        ray = np.array([(column + 0.5 - 128) / 300, (row + 0.5 - 128) / 300, 1.0])
        expected = 100 * cast(vertices, faces, np.zeros(3), ray)
        assert depth[row, column] == pytest.approx(expected if expected > 0.1 else 0, abs=1e-9)


def test_only_front_faces_are_drawn():
    corners = np.array([[-50.0, -50, -300], [50, -50, -300], [50, 50, -300], [-50, 50, -300]])
    assert (orthographic_depth(corners, SQUARE, 100.0) == 300).sum() == 128 * 128
    assert not orthographic_depth(corners, SQUARE[:, ::-1], 100.0).any()
    in_front = corners * [1, -1, -1]
    assert (np.isclose(perspective_depth(in_front, SQUARE, INTRINSICS), 300)).sum() == 100 * 100
    assert not perspective_depth(in_front, SQUARE[:, ::-1], INTRINSICS).any()


def test_beside_the_image_and_behind_the_camera_nothing_is_drawn():
    corners = np.array([[-50.0, -50, -300], [50, -50, -300], [50, 50, -300], [-50, 50, -300]])
    assert not orthographic_depth(corners + np.array([500, 0, 0]), SQUARE, 100.0).any()
    assert not orthographic_depth(corners + np.array([0, 0, 600]), SQUARE, 100.0).any()
    assert not perspective_depth(corners, SQUARE, INTRINSICS).any()


def test_the_offset_minimises_the_absolute_difference():
    rng = np.random.default_rng(0)
    truth, prediction = rng.gamma(2, 50, (256, 256)), rng.gamma(2, 40, (256, 256))
    truth[rng.random((256, 256)) < 0.5] = 0
    delta, overlap = depth_offset(truth, prediction)

    def cost(z):
        return np.abs(truth - prediction - z)[overlap].sum()

    assert overlap.sum() == (truth != 0).sum()
    assert all(cost(delta) <= cost(delta + step) + 1e-6 for step in (-1, -0.1, 0.1, 1))
    assert np.isnan(depth_offset(np.zeros((256, 256)), prediction)[0])
