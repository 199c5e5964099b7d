"""The rig's cameras stand where Multi-PIE's stand."""

import numpy as np
import pytest
import torch

from mfnet.geometry import yaw
from mfnet.geometry.conventions import VIEW_TO_OPENCV
from mfnet.synthetic.capture.rig import DISTANCE, rig_cameras

CAMERAS = {camera.name: camera for camera in rig_cameras()}


def place(camera):
    """The camera's centre in rig axes."""
    return -(VIEW_TO_OPENCV @ camera.view).T @ camera.translation


def test_thirteen_head_height_cameras_15_degrees_apart_in_the_archives_order():
    names = "24_0 01_0 20_0 19_0 04_1 05_0 05_1 14_0 13_0 08_0 09_0 12_0 11_0".split()
    assert list(CAMERAS) == [*names, *list(CAMERAS)[13:]] and set(list(CAMERAS)[13:]) == {"08_1", "19_1"}
    yaws = [np.degrees(yaw(torch.from_numpy(CAMERAS[name].view)).item()) for name in names]
    assert np.allclose(yaws, np.arange(90, -91, -15))
    assert all(abs(place(CAMERAS[name])[1]) < 1e-9 for name in names)


def test_positive_yaw_stands_on_the_subjects_right():
    assert np.allclose(place(CAMERAS["24_0"]), [-DISTANCE, 0, 0]) and np.allclose(
        place(CAMERAS["05_1"]), [0, 0, DISTANCE]
    )


@pytest.mark.parametrize("name, below", [("19_1", "19_0"), ("08_1", "08_0")])
def test_ceiling_cameras_look_down_from_above_their_neighbours(name, below):
    high, low = place(CAMERAS[name]), place(CAMERAS[below])
    assert high[1] > 0.4 and np.isclose(np.arctan2(high[0], high[2]), np.arctan2(low[0], low[2]))


def test_every_camera_is_a_rotation_aimed_at_the_head():
    for camera in CAMERAS.values():
        assert np.allclose(camera.view @ camera.view.T, np.eye(3)) and np.isclose(np.linalg.det(camera.view), 1)
        pixel = camera.intrinsics @ camera.translation
        assert np.allclose(pixel[:2] / pixel[2], [320, 240])
