"""Pose a head of any shape by 68 detected landmarks, with or without a known focal length."""

import numpy as np
import torch
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation
from torch import Tensor

from mfnet.flame import Flame
from mfnet.geometry import perspective_divisor
from mfnet.model.parameters import Person

ROUNDS = 4
"""Fits, each with the contour points that the pose of the last one selects."""


@torch.no_grad()
def fit_poses(flame: Flame, landmarks: np.ndarray, lens: np.ndarray, person: Person) -> tuple[Tensor, Tensor]:
    """Global poses [B, 3] (axis-angle) and cameras [B, 3] (s, tx, ty) with which heads best fit `landmarks` [B, 68, 2].

    landmarks: ndc of the crop, y up; the cameras' scale holds at the landmarks' mean depth. lens [B]: the reciprocal of
    each focal length in ndc of the crop, so that the camera is 1 / (lens s) metres away; 0 is scaled orthography.
    Least squares over all points, from a closed-form start, with the contour points that walk along the cheek renewed
    each round. NaN where a code of the person is not finite.
    """
    fits = []
    for row, (points, inverse_focal) in enumerate(zip(landmarks, lens, strict=True)):
        one = person[row : row + 1]
        finite = all(code.isfinite().all() for code in one.tensors())
        fits.append(_fit_pose(flame, points, inverse_focal, one) if finite else np.full((2, 3), np.nan))
    pose, camera = torch.from_numpy(np.array(fits).reshape(-1, 2, 3)).to(person.shape).unbind(1)
    return pose, camera


def _fit_pose(flame: Flame, landmarks: np.ndarray, lens: float, person: Person) -> tuple[np.ndarray, np.ndarray]:
    rotation = Rotation.identity()
    for _ in range(ROUNDS):
        points, root = _head_points(flame, rotation, person)
        if np.allclose(rotation.magnitude(), 0):
            rotation = _start(points, landmarks)
        rotation, camera = _refine(points, root, landmarks, lens, rotation)
    return rotation.as_rotvec(), camera


def _head_points(flame: Flame, rotation: Rotation, person: Person) -> tuple[np.ndarray, np.ndarray]:
    """The head's landmarks [68, 3] unrotated about its root joint, as `rotation` selects them, and that joint [3]."""
    pose = torch.from_numpy(rotation.as_rotvec()).to(person.shape)[None]
    output = flame(person.shape, person.expression, pose, jaw_pose=person.jaw_pose)
    root = output.joints[0, 0].double().cpu().numpy()
    return rotation.inv().apply(output.landmarks[0].double().cpu().numpy() - root), root


def _start(points: np.ndarray, landmarks: np.ndarray) -> Rotation:
    """Pose from orthography and scaling: the rotation whose first rows are nearest to the affine fit's."""
    affine = np.linalg.lstsq(points - points.mean(0), landmarks - landmarks.mean(0), rcond=None)[0].T
    left, _, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    return Rotation.from_matrix(np.vstack([rows, np.cross(rows[0], rows[1])]))


def _refine(
    points: np.ndarray, root: np.ndarray, landmarks: np.ndarray, lens: float, start: Rotation
) -> tuple[Rotation, np.ndarray]:
    """The rotation and camera of least squared distance in the image."""

    def project(values: np.ndarray) -> np.ndarray:
        turned = (start * Rotation.from_rotvec(values[:3])).apply(points)
        divisor = perspective_divisor(turned[:, 2:], turned[:, 2].mean(), lens * values[3])
        return (values[3] * turned[:, :2] + values[4:]) / divisor

    spread = landmarks - landmarks.mean(0)
    size = np.sqrt((spread**2).sum() / (start.apply(points - points.mean(0))[:, :2] ** 2).sum())
    first = np.array([0, 0, 0, size, *(landmarks.mean(0) - size * start.apply(points)[:, :2].mean(0))])
    found = least_squares(lambda values: (project(values) - landmarks).ravel(), first, method="lm").x
    scale = found[3]
    return start * Rotation.from_rotvec(found[:3]), np.array([scale, *(found[4:] / scale - root[:2])])
