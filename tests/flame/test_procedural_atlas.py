"""The procedural head's UV atlas and landmark embedding."""

import numpy as np
import pytest

from mfnet.flame.procedural import head_arrays

MIRRORED = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
MIRRORED += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55]
MIRRORED += [64, 63, 62, 61, 60, 67, 66, 65]
FLIP = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def head():
    return head_arrays(0)


def embedded(head, faces, weights):
    return (head.v_template[head.faces[faces]].astype(np.float64) * weights[..., None]).sum(-2)


def coverage(triangles: np.ndarray, size: int) -> np.ndarray:
    """How many triangles [F, 3, 2] (pixels) hold each pixel centre strictly inside: [size, size]."""
    count = np.zeros((size, size), np.int32)
    for a, b, c in triangles:
        low = np.floor(np.minimum.reduce([a, b, c])).astype(int).clip(0)
        high = np.ceil(np.maximum.reduce([a, b, c])).astype(int).clip(None, size)
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        inside = np.ones(x.shape, bool)
        for p, q in ((a, b), (b, c), (c, a)):
            inside &= (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) > 1e-6
        count[low[1] : high[1], low[0] : high[0]] += inside
    return count


def signed_area(triangles):
    a, b, c = triangles.transpose(1, 0, 2)
    return 0.5 * ((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))


def test_uv_triangles_do_not_overlap(head):
    triangles = head.uv[head.uv_faces].astype(np.float64)
    assert head.uv.min() >= 0 and head.uv.max() <= 1
    assert signed_area(triangles).min() > 0  # none is flipped
    assert coverage(1024.0 * triangles, 1024).max() == 1


def test_the_face_gets_most_of_the_atlas(head):
    area = signed_area(head.uv[head.uv_faces].astype(np.float64))
    face = head.masks["face"][head.faces].all(1)
    assert area[face].sum() > 0.30
    corner = head.v_template[head.faces].astype(np.float64)
    surface = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=-1) / 2
    millimetres = 1e3 * np.sqrt(surface[face].sum() / (area[face].sum() * 256**2))
    assert millimetres < 1.4  # side of a texel on the face, at 256 px


def test_uv_is_symmetric_on_the_face(head):
    landmarks = head.landmarks
    corner = head.uv[head.uv_faces[landmarks.static_faces]].astype(np.float64)
    points = (corner * landmarks.static_weights[..., None]).sum(1)
    other = points[np.array(MIRRORED[17:]) - 17]
    assert np.allclose(points[:, 0] + other[:, 0], 1, atol=1e-5)
    assert np.allclose(points[:, 1], other[:, 1], atol=1e-5)
    assert points[0, 0] < 0.5  # landmark 17 is on the subject's right: left in the atlas


def test_landmarks_are_points_of_triangles_and_symmetric(head):
    marks = head.landmarks
    for faces, weights in (
        (marks.static_faces, marks.static_weights),
        (marks.dynamic_faces, marks.dynamic_weights),
        (marks.full_faces, marks.full_weights),
    ):
        assert faces.min() >= 0 and faces.max() < len(head.faces)
        assert weights.min() >= 0 and np.allclose(weights.sum(-1), 1, atol=1e-6)
    points = embedded(head, marks.full_faces, marks.full_weights)
    assert np.allclose(points[MIRRORED] * FLIP, points, atol=1e-6)
    assert np.array_equal(marks.full_faces[:17], marks.dynamic_faces[0])


def test_landmarks_are_in_ibug_order(head):
    points = embedded(head, head.landmarks.full_faces, head.landmarks.full_weights)
    x, y, z = points.T
    assert x[0] < -0.06 and x[16] > 0.06 and y[:17].argmin() == 8  # contour from the right ear under the chin
    assert (np.diff(x[17:27]) > 0).all() and (np.diff(y[27:31]) < 0).all() and (np.diff(x[31:36]) > 0).all()
    assert z[:].argmax() == 30 and z[30] > 0.08  # the tip of the nose
    assert (x[36] < x[37] < x[38] < x[39] < 0 < x[42] < x[43] < x[44] < x[45]) and y[37] > y[41] and y[44] > y[46]
    assert (np.diff(x[48:55]) > 0).all() and (np.diff(x[54:60]) < 0).all() and y[51] > y[62] > y[66] > y[57]
    assert 0.055 < x[42:48].mean() - x[36:42].mean() < 0.070  # between the eyes
    assert (np.diff(x[60:65]) > 0).all()


def test_contour_rows_mirror_and_walk_steadily(head):
    marks = head.landmarks
    points = embedded(head, marks.dynamic_faces, marks.dynamic_weights)
    assert np.allclose(points[1:40], points[40:, ::-1] * FLIP, atol=1e-6)
    steps = np.linalg.norm(np.diff(points[:40], axis=0), axis=-1)
    assert steps.max() < 8e-3  # metres a degree
    far = points[:40, 12:17, 2]
    assert (far[-1] - far[0]).min() > 0.01  # the turned cheek's contour comes forward
    assert np.linalg.norm(points[39, :5] - points[0, :5], axis=-1).max() < 0.02  # the near one rests on the jaw


@pytest.mark.parametrize("degrees", [0, 15, 30, 39])
def test_contour_lies_on_the_silhouette(head, degrees):
    """On the far side nothing of the face sticks out beyond the contour at its height."""
    angle = np.deg2rad(degrees)
    turned = head.v_template[:, 0] * np.cos(angle) + head.v_template[:, 2] * np.sin(angle)
    points = embedded(head, head.landmarks.dynamic_faces[degrees], head.landmarks.dynamic_weights[degrees])
    edge = points[:, 0] * np.cos(angle) + points[:, 2] * np.sin(angle)
    cheek = head.masks["face"] & ~head.masks["nose"] & ~head.masks["lips"] & (head.v_template[:, 0] > 0.025)
    for k in range(12, 16):
        level = cheek & (np.abs(head.v_template[:, 1] - points[k, 1]) < 0.002)
        assert turned[level].max() < edge[k] + 0.003
