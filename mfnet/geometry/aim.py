"""A calibrated camera turned on the spot until it looks at a face: then a crop round the face has it in its middle."""

import math
from typing import NamedTuple

import cv2
import numpy as np

from mfnet.geometry.turned import rotation_between
from mfnet.io.cameras import HALF_PIXEL, CalibratedCamera

MARGIN = 2.6
"""Side of what the turned camera sees, over the larger side of the points' box."""
LARGEST = 2048
"""Most pixels of its side."""
ROUNDS = 3
"""Times that the camera is turned to the middle of the points, which moves a little as it turns."""


class Aimed(NamedTuple):
    """A photograph as the turned camera would have taken it."""

    camera: CalibratedCamera
    """At the same place, without distortion, the middle of the points on its axis."""
    turn: np.ndarray
    """[3, 3] from the axes of the camera as it stood to those of the turned one."""
    original: CalibratedCamera

    def moved(self, points: np.ndarray) -> np.ndarray:
        """Points [N, 2] px of the photograph -> px of the turned one."""
        camera = self.original
        flat = np.ascontiguousarray(points, np.float64)[:, None]
        return cv2.undistortPoints(flat, camera.K, camera.distortion, R=self.turn, P=self.camera.K)[:, 0]

    def image(self, photograph: np.ndarray) -> np.ndarray:
        """The photograph [H, W, 3] uint8 as the turned camera sees it; black where the first one did not look."""
        size = (self.camera.width or 1, self.camera.height or 1)
        intrinsics = (self.original.K - HALF_PIXEL, self.original.distortion, self.turn, self.camera.K - HALF_PIXEL)
        maps = cv2.initUndistortRectifyMap(*intrinsics, size, cv2.CV_32FC1)
        return cv2.remap(photograph, *maps, cv2.INTER_LINEAR, borderValue=0)


def aim(camera: CalibratedCamera, points: np.ndarray) -> Aimed:
    """Turn a camera to the middle of the box of points [N, 2] (px of its photograph), as near as they are sharp."""
    focal = float(camera.K[[0, 1], [0, 1]].mean())
    turn = np.eye(3)
    extent = 1.0
    for _ in range(ROUNDS):
        flat = np.ascontiguousarray(points, np.float64)[:, None]
        seen = cv2.undistortPoints(flat, camera.K, camera.distortion, R=turn)[:, 0]
        low, high = seen.min(0), seen.max(0)
        extent = float((high - low).max())
        ray = np.append((low + high) / 2, 1.0)
        turn = rotation_between(ray / np.linalg.norm(ray), np.array([0.0, 0, 1])) @ turn
    side = min(LARGEST, max(64, math.ceil(MARGIN * extent * focal)))
    focal = side / (MARGIN * extent)
    K = np.array([[focal, 0, side / 2], [0, focal, side / 2], [0, 0, 1]])
    turned = CalibratedCamera(camera.name, K, turn @ camera.R, turn @ camera.t, side, side, camera.unit, np.zeros(5))
    return Aimed(turned, turn, camera)
