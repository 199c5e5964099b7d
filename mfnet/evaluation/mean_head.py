"""The mean head, posed by 68 detected landmarks: what a reconstruction must beat to have seen anything."""

import numpy as np
import torch
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from mfnet.flame import Flame

ROUNDS = 4
"""Fits, each with the contour points that the pose of the last one selects."""


@torch.no_grad()
def fit_mean_head(flame: Flame, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Global pose [3] (axis-angle) and camera [3] (s, tx, ty) of the mean head that best fit `landmarks` [68, 2].

    landmarks: ndc of the crop, y up; the camera is scaled orthography in the same ndc. Least squares over all points,
    from a closed-form start, with the contour points that walk along the cheek renewed each round.
    """
    rotation = Rotation.identity()
    for _ in range(ROUNDS):
        points, root = _head_points(flame, rotation)
        if np.allclose(rotation.magnitude(), 0):
            rotation = _start(points, landmarks)
        rotation, camera = _refine(points, root, landmarks, rotation)
    return rotation.as_rotvec(), camera


def _head_points(flame: Flame, rotation: Rotation) -> tuple[np.ndarray, np.ndarray]:
    """The mean head's landmarks [68, 3] unturned about its root joint, as `rotation` selects them, and that joint."""
    zero = torch.zeros(1, flame.n_shape), torch.zeros(1, flame.n_expression)
    pose = torch.from_numpy(rotation.as_rotvec()).float()[None].to(flame.faces.device)
    output = flame(*(coefficients.to(pose.device) for coefficients in zero), pose)
    root = output.joints[0, 0].double().cpu().numpy()
    return rotation.inv().apply(output.landmarks[0].double().cpu().numpy() - root), root


def _start(points: np.ndarray, landmarks: np.ndarray) -> Rotation:
    """Pose from orthography and scaling: the rotation whose first rows are nearest to the affine fit's."""
    affine = np.linalg.lstsq(points - points.mean(0), landmarks - landmarks.mean(0), rcond=None)[0].T
    left, _, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    return Rotation.from_matrix(np.vstack([rows, np.cross(rows[0], rows[1])]))


def _refine(points: np.ndarray, root: np.ndarray, landmarks: np.ndarray, start: Rotation):
    """The rotation and camera of least squared distance in the image."""

    def project(values: np.ndarray) -> np.ndarray:
        turned = (start * Rotation.from_rotvec(values[:3])).apply(points)[:, :2]
        return values[3] * turned + values[4:]

    spread = landmarks - landmarks.mean(0)
    size = np.sqrt((spread**2).sum() / (start.apply(points - points.mean(0))[:, :2] ** 2).sum())
    first = np.array([0, 0, 0, size, *(landmarks.mean(0) - size * start.apply(points)[:, :2].mean(0))])
    found = least_squares(lambda values: (project(values) - landmarks).ravel(), first, method="lm").x
    scale = found[3]
    return start * Rotation.from_rotvec(found[:3]), np.array([scale, *(found[4:] / scale - root[:2])])
