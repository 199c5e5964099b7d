"""Closest points, openness and rigid alignment."""

import numpy as np
import pytest

from scripts.makehuman.surface import Surface, openness, rigid


def test_a_cups_inside_sees_less_of_the_sky_than_its_outside():
    trimesh = pytest.importorskip("trimesh")
    tube = trimesh.creation.annulus(r_min=0.01, r_max=0.012, height=0.1).subdivide().subdivide()
    vertices = np.array(tube.vertices)
    inner = (np.hypot(vertices[:, 0], vertices[:, 1]) < 0.0101) & (np.abs(vertices[:, 2]) < 0.02)
    outer = (np.hypot(vertices[:, 0], vertices[:, 1]) > 0.0119) & (np.abs(vertices[:, 2]) < 0.02)
    share = openness(vertices, np.array(tube.faces))
    assert share[outer].min() > 0.9 and share[inner].max() < 0.2


def test_a_closest_point_lies_where_its_weights_say():
    rng = np.random.default_rng(0)
    vertices, faces = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.5]]), np.array([[0, 1, 2], [1, 3, 2]])
    points = rng.uniform(size=(50, 3))
    nearest = Surface(vertices, faces).closest(points)
    assert np.allclose(np.linalg.norm(points - nearest.mix(vertices), axis=1), nearest.distance, atol=1e-6)


def test_depth_before_a_point_is_signed():
    vertices, faces = np.array([[-1.0, -1, 0.1], [1, -1, 0.1], [0, 1, 0.1]]), np.array([[0, 1, 2]])
    before = Surface(vertices, faces).before(np.array([[0.0, 0, 0], [0.1, 0, 0.3]]))
    assert np.allclose(before.distance, (0.1, -0.2), atol=1e-6)
    assert np.allclose(before.mix(vertices), [[0, 0, 0.1], [0.1, 0, 0.1]], atol=1e-6)


def test_rigid_alignment_undoes_a_motion():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    rotation, shift = rigid(points, points @ turn + 0.3)
    assert np.allclose(rotation, turn) and np.allclose(shift, 0.3)
