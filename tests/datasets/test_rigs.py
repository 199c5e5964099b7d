"""Several cameras before a head: where they look, what they triangulate."""

import numpy as np
import pytest

from mfnet.datasets.rigs import meeting_point, middle_camera, sides, similarity, triangulate
from mfnet.geometry.conventions import about_y, about_z
from tests.calibrated import ORIGIN, PLACES, WORLD, rig

POINTS = np.random.default_rng(0).normal(0, 0.06, (20, 3)) @ WORLD.T + ORIGIN


def test_a_rig_looks_at_the_head_from_its_middle_camera():
    assert np.linalg.norm(meeting_point(rig()) - ORIGIN) < 0.03
    assert middle_camera(rig()) == 0
    for found, (yaw, elevation) in zip(sides(rig(), 0), PLACES, strict=True):
        assert abs(found.yaw - yaw) < 9 and abs(found.elevation - elevation) < 9


def test_triangulation_gives_back_the_points_that_two_views_or_more_see():
    pixels = np.stack([camera.project(POINTS)[0] for camera in rig()])
    seen = np.random.default_rng(1).random((len(PLACES), 20)) < 0.6
    seen[:, 0], seen[1:, 1] = False, False
    found = triangulate(rig(), pixels, seen)
    assert np.isnan(found[:2]).all() and np.abs(found[2:] - POINTS[2:]).max() < 1e-9


def test_triangulation_needs_no_unit():
    for length in (1e-3, 1.0, 1e4):
        cameras = [camera.moved(length, np.eye(3), np.zeros(3), None) for camera in rig()]
        pixels = np.stack([camera.project(length * POINTS)[0] for camera in cameras])
        found = triangulate(cameras, pixels, np.ones((len(PLACES), 20), bool))
        assert np.abs(found / length - POINTS).max() < 1e-8


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_similarity_is_found_and_so_is_a_mirror(mirrored):
    turn = about_z(0.3) @ about_y(1.2) @ np.diag([-1.0 if mirrored else 1.0, 1, 1])
    found = similarity(POINTS, 3.5 * POINTS @ turn.T + [1, 2, 3])
    assert np.allclose(found.rotation, turn) and abs(found.scale - 3.5) < 1e-9 and found.misfit < 1e-9
    assert np.sign(np.linalg.det(found.rotation)) == (-1 if mirrored else 1)
