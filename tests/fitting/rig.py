"""A person before three calibrated cameras."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from mfnet.fitting.person import Measured
from mfnet.flame import Flame
from mfnet.io.cameras import CalibratedCamera
from mfnet.landmarks.backends import Detection
from mfnet.photographs import VIEW_AXES, CropRules, _aimed, _photograph, crops_of, rig_of

WIDTH, HEIGHT = 1200, 900
K = np.array([[1500.0, 0, 590], [0, 1500, 460], [0, 0, 1]])
TURN = Rotation.from_euler("yxz", [25, -10, 5], degrees=True).as_matrix()
PLACE = np.array([120.0, 40, -30])
"""Of the head's root, mm."""
RULES = CropRules(128, 1.25, 0.2)


class RigScene(NamedTuple):
    """Cameras in mm, the landmarks that each sees (px), and the face's vertices in their world."""

    cameras: list[CalibratedCamera]
    landmarks: list[np.ndarray]
    vertices: np.ndarray

    def measured(self, cameras: list[CalibratedCamera] | None = None) -> Measured:
        """What a fit is given, before these or other cameras."""
        photographs = []
        for camera, points in zip(cameras or self.cameras, self.landmarks, strict=True):
            image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            found = _photograph(Path(camera.name), image, Detection(points, 1.0), RULES)
            photographs.append(_aimed(found, camera, RULES))
        return Measured(*crops_of(photographs), "annotations", None, rig_of(photographs))


def rig_scene(flame: Flame) -> RigScene:
    """A random person looked at from yaws 0, -35 and 40 by cameras that do not quite look at the face."""
    generator = torch.Generator().manual_seed(1)
    shape = torch.randn(1, flame.n_shape, generator=generator)
    codes = shape, 0.3 * torch.randn(1, flame.n_expression, generator=generator)
    rest = flame(*codes, torch.zeros(1, 3))
    root = rest.joints[0, 0].double().numpy()
    cameras, landmarks = [], []
    for number, yaw in enumerate((0, -35, 40)):
        towards = TURN @ Rotation.from_euler("y", yaw, degrees=True).apply([0.05, 0.02, 1])
        centre = PLACE + TURN @ [0, 60, 50] + 900 * towards / np.linalg.norm(towards)
        z = -towards / np.linalg.norm(towards)
        x = np.cross([0, -1, 0], z)
        x /= np.linalg.norm(x)
        looking = Rotation.from_euler("yx", [6, -4], degrees=True).as_matrix() @ np.stack([x, np.cross(z, x), z])
        camera = CalibratedCamera(f"{number}.png", K, looking, -looking @ centre, WIDTH, HEIGHT, "mm")
        pose = VIEW_AXES @ looking @ TURN
        seen = flame(*codes, torch.from_numpy(Rotation.from_matrix(pose).as_rotvec()).float()[None])
        world = 1000 * (seen.landmarks[0].double().numpy() - root) @ pose @ TURN.T + PLACE
        cameras.append(camera)
        landmarks.append(camera.project(world)[0])
    vertices = 1000 * (rest.vertices[0].double().numpy() - root) @ TURN.T + PLACE
    return RigScene(cameras, landmarks, vertices)


def of_no_unit(cameras: list[CalibratedCamera]) -> list[CalibratedCamera]:
    """The same cameras from a file that does not say its unit."""
    return [replace(camera, unit=None) for camera in cameras]
