"""Multi-PIE's rig: 13 cameras at head height, 15 degrees apart, and two below the ceiling, all aimed at the head.

Rig axes are head space (x to the subject's left, y up, z where the subject looks), the origin at the aim. Distance and
focal length are not published; these give Multi-PIE's usual size of a face, about 75 px between the pupils.
"""

from dataclasses import dataclass

import numpy as np
import torch

from mfnet.datasets.multipie import HEIGHT, WIDTH, YAW
from mfnet.geometry import PinholeCamera
from mfnet.geometry.conventions import VIEW_TO_OPENCV, about_x, about_y

DISTANCE = 1.2
"""Metres from each camera to the aim."""
FOCAL = 1430.0
"""Pixels."""
CEILING_YAW = {"19_1": 45.0, "08_1": -45.0}
"""Degrees; where this rig has the two ceiling cameras, whose true places no source states."""
CEILING_ELEVATION = 30.0
"""Degrees above head height."""


@dataclass(frozen=True)
class RigCamera:
    """A pinhole camera: pixel = K (VIEW_TO_OPENCV view x + (0, 0, DISTANCE)), x in rig axes, metres."""

    name: str
    view: np.ndarray
    """[3, 3] rig axes to view axes; also the rotation that a head facing along the rig appears to have."""

    @property
    def intrinsics(self) -> np.ndarray:
        """K [3, 3] in pixels of the 640 x 480 image."""
        return np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1.0]])

    @property
    def translation(self) -> np.ndarray:
        """[3] of OpenCV's extrinsics, metres."""
        return np.array([0.0, 0.0, DISTANCE])

    def pinhole(self) -> PinholeCamera:
        """The camera as a float32 batch of one that takes the whole image; the world is the rig's axes."""
        values = (self.intrinsics, VIEW_TO_OPENCV @ self.view, self.translation)
        K, R, t = (torch.from_numpy(value).float()[None] for value in values)
        return PinholeCamera(K, R, t, WIDTH, HEIGHT, 0.5 * DISTANCE, 2 * DISTANCE)


def rig_cameras() -> list[RigCamera]:
    """The 15 cameras: head height from the subject's right profile to the left one, then the ceiling."""
    level = [RigCamera(name, _view(yaw, 0.0)) for name, yaw in YAW.items()]
    return level + [RigCamera(name, _view(yaw, CEILING_ELEVATION)) for name, yaw in CEILING_YAW.items()]


def _view(yaw: float, elevation: float) -> np.ndarray:
    """Rotation from rig to view axes of a camera at `yaw` and `elevation` degrees that looks at the origin."""
    return about_x(np.radians(elevation)) @ about_y(np.radians(yaw))
