"""Crops of calibrated photographs: what the camera would see if it were turned until the face is in its middle.

A square cut out of a photograph is no picture of a camera whose axis goes through its middle: the farther out the face,
the more it is drawn out. Turned, it is one exactly, so that (s, tx, ty) and a distance say all of its projection.
"""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from mfnet.geometry.cameras import pixels_to_ndc
from mfnet.geometry.crops import MAX_DENSE, CropBox, FaceCrop, require_overlap

if TYPE_CHECKING:
    from mfnet.io.cameras import CalibratedCamera


def cut_turned_face(
    image: np.ndarray, landmarks: np.ndarray, box: CropBox, size: int, camera: "CalibratedCamera"
) -> tuple[FaceCrop, "CalibratedCamera"]:
    """Crop an undistorted photograph [H, W, 3] uint8 of `camera` and its landmarks [68, 2] (px) around a box.

    Returns the crop, `size` px wide, whose matrix is a homography, and the turned camera that it is the picture of.

    Raises InputError where the box lies beside the photograph or is more than ten times as large.
    """
    require_overlap(box, image)
    turned = turned_camera(camera, box, size)
    matrix = turned.K @ turned.R @ camera.R.T @ np.linalg.inv(camera.K)
    matrix = matrix / matrix[2, 2]
    points = torch.from_numpy(apply_homography(landmarks, matrix))
    factor = max(1, min(math.ceil(box.side / size), MAX_DENSE // size))
    return FaceCrop(warp(image, matrix, size, factor), matrix, pixels_to_ndc(points, size, size).numpy()), turned


def turned_camera(camera: "CalibratedCamera", box: CropBox, size: int) -> "CalibratedCamera":
    """`camera` turned to the middle of a box of its photograph, with square pixels, so that the box fills `size` px."""
    ray = np.linalg.inv(camera.K) @ [box.centre_x, box.centre_y, 1.0]
    length = float(np.linalg.norm(ray))
    forward = ray / length
    turn = rotation_between(forward, np.array([0.0, 0.0, 1.0]))
    focal = math.sqrt(camera.K[0, 0] * camera.K[1, 1]) * length * size / box.side
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return replace(camera, K=K, R=turn @ camera.R, t=turn @ camera.t, width=size, height=size, distortion=np.zeros(5))


def rotation_between(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The least rotation [3, 3] that turns one unit vector [3] into another, not its opposite."""
    x, y, z = np.cross(source, target)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + source @ target)


def apply_homography(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points [N, 2] -> [N, 2] by a homography [3, 3]."""
    image = points @ matrix[:, :2].T + matrix[:, 2]
    return image[:, :2] / image[:, 2:]


def warp(image: np.ndarray, matrix: np.ndarray, size: int, factor: int = 1) -> np.ndarray:
    """An image [H, W, 3] uint8 through a homography between pixels -> [size, size, 3] uint8; black outside.

    factor: samples per pixel and direction, which are averaged, so that nothing aliases.
    """
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV's pixel centres are whole numbers
    dense = np.linalg.inv(half) @ np.diag([factor, factor, 1]) @ matrix @ half
    source = image if factor == 1 else image.astype(np.float32)
    pixels = cv2.warpPerspective(source, dense, (factor * size, factor * size), flags=cv2.INTER_LINEAR, borderValue=0)
    if factor == 1:
        return pixels
    return np.rint(cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)).astype(np.uint8)
