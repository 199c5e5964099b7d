"""Cameras turned to a face."""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from mfnet.geometry.aim import aim
from mfnet.io.cameras import CalibratedCamera

CAMERA = CalibratedCamera(
    "a",
    np.array([[900.0, 0, 310], [0, 905, 250], [0, 0, 1]]),
    Rotation.from_euler("yx", [20, -5], degrees=True).as_matrix(),
    np.array([0.1, -0.2, 1.5]),
    640,
    480,
    "m",
    np.array([-0.05, 0.01, 0.001, 0, 0]),
)
POINTS = np.array([[60.0, 80], [180, 90], [120, 200]])


def test_the_points_stand_round_the_middle_of_what_the_turned_camera_sees():
    aimed = aim(CAMERA, POINTS)
    moved = aimed.moved(POINTS)
    np.testing.assert_allclose((moved.min(0) + moved.max(0)) / 2, aimed.camera.K[:2, 2], atol=0.01)
    assert moved.min() > 0 and moved.max() < aimed.camera.width


def test_it_stands_where_the_camera_stood_and_sees_the_same_points():
    aimed = aim(CAMERA, POINTS)
    np.testing.assert_allclose(aimed.camera.centre, CAMERA.centre, atol=1e-9)
    straight = replace(CAMERA, distortion=np.zeros(5))
    aimed = aim(straight, POINTS)
    world = straight.centre + np.array([[-0.1, -0.1, 1], [0.1, 0.05, 2]]) @ straight.R
    np.testing.assert_allclose(aimed.moved(straight.project(world)[0]), aimed.camera.project(world)[0], atol=1e-6)


def test_a_spot_of_the_photograph_is_where_its_point_is_in_the_turned_one():
    photograph = np.zeros((480, 640, 3), np.uint8)
    photograph[119:122, 129:132] = 255
    aimed = aim(CAMERA, POINTS)
    spot = np.argwhere(aimed.image(photograph)[..., 0] > 128).mean(0)[::-1] + 0.5
    np.testing.assert_allclose(spot, aimed.moved(np.array([[130.5, 120.5]]))[0], atol=0.6)
