"""Several calibrated cameras before one head: where they look, from which side, and what they see together.

NumPy throughout; cameras are `mfnet.io.cameras.CalibratedCamera`s of one world.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from mfnet.io.cameras import CalibratedCamera


class Side(NamedTuple):
    """From where a camera sees the head, degrees, seen from the head and relative to the camera before it."""

    yaw: float
    """> 0 where the camera stands on the subject's right (docs/conventions.md)."""
    elevation: float
    """> 0 above."""


def meeting_point(cameras: Sequence["CalibratedCamera"]) -> np.ndarray:
    """The point [3] of the world that is nearest to all optical axes: a rig's is where the head is."""
    axes = np.stack([camera.R[2] for camera in cameras])
    centres = np.stack([camera.centre for camera in cameras])
    across = np.eye(3) - axes[:, :, None] * axes[:, None]
    damping = 1e-6 * np.eye(3)  # of parallel axes
    return np.linalg.solve(
        across.sum(0) + damping, (across @ centres[..., None]).sum(0)[:, 0] + damping @ centres.mean(0)
    )


def middle_camera(cameras: Sequence["CalibratedCamera"]) -> int:
    """Index of the camera in the middle of the rig, which a subject looks at: nearest to their mean direction."""
    directions = _directions(cameras)
    return int((directions @ directions.mean(0)).argmax())


def sides(cameras: Sequence["CalibratedCamera"], anchor: int) -> list[Side]:
    """The side of every camera; `anchor`: index of the one before the face, whose own yaw and elevation are 0.

    Up is what most cameras have above: they stand upright.
    """
    directions = _directions(cameras)
    up = -np.mean([camera.R[1] for camera in cameras], 0)
    front = directions[anchor]
    up = up - (up @ front) * front
    up = up / max(float(np.linalg.norm(up)), 1e-12)
    left = np.cross(up, front)  # the subject's: the image's right
    yaw = np.degrees(np.arctan2(-directions @ left, directions @ front))
    elevation = np.degrees(np.arcsin(np.clip(directions @ up, -1, 1)))
    return [Side(*pair) for pair in zip(yaw.tolist(), elevation.tolist(), strict=True)]


def _directions(cameras: Sequence["CalibratedCamera"]) -> np.ndarray:
    """Unit vectors [V, 3] from the meeting point to the cameras."""
    offsets = np.stack([camera.centre for camera in cameras]) - meeting_point(cameras)
    return offsets / np.maximum(np.linalg.norm(offsets, axis=1, keepdims=True), 1e-12)


def triangulate(cameras: Sequence["CalibratedCamera"], pixels: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """World points [N, 3] from pixels [V, N, 2] of undistorted photographs; seen [V, N]: whether a view counts.

    Linear least squares (the direct linear transform) in the cameras' own axes; NaN where fewer than two views count.
    """
    rows = []
    for camera, points, counts in zip(cameras, pixels, seen, strict=True):
        inverse, pose = np.linalg.inv(camera.K), np.column_stack([camera.R, camera.t])
        rays = points @ inverse[:2, :2].T + inverse[:2, 2]
        rows.append(counts[:, None, None] * (rays[..., None] * pose[2] - pose[:2]))  # [N, 2, 4]
    system = np.concatenate(rows, 1)
    scale = np.mean([np.linalg.norm(camera.t) for camera in cameras])  # so that the four columns weigh alike
    system = system * [1, 1, 1, 1 / max(scale, 1e-12)]
    solution = np.linalg.svd(system)[2][:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        points = scale * solution[:, :3] / solution[:, 3:]
    points[seen.sum(0) < 2] = np.nan
    return points


class Similarity(NamedTuple):
    """The map y = scale rotation x + shift between two sets of points."""

    scale: float
    rotation: np.ndarray
    """[3, 3], of determinant -1 where the sets are mirror images."""
    misfit: float
    """Root mean square distance that is left, in units of y."""


def similarity(source: np.ndarray, target: np.ndarray) -> Similarity:
    """The nearest map from points [N, 3] to [N, 3], mirroring allowed, by least squares (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    left, singular, right = np.linalg.svd(b.T @ a)
    rotation = left @ right
    scale = float(singular.sum() / np.square(a).sum())
    return Similarity(scale, rotation, float(np.sqrt(np.square(b - scale * a @ rotation.T).sum(1).mean())))
