"""What 68 points say about the rigid head behind them: how it stands, how well it fits, whether views show one head.

A camera is scaled orthography here: a face at a metre has perspective of a few per cent, less than people differ. Only
the 51 points from brows to mouth are used, which are places on the head; the contour's lie elsewhere in every view.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mfnet.datasets.multipie import YAW
from mfnet.errors import InputError
from mfnet.flame.head import HeadArrays
from mfnet.geometry.conventions import about_y
from mfnet.landmarks.ibug import N_CONTOUR

ROUNDS = 8
"""Of the fit's alternation; it changes by less than a tenth of a degree after four."""
_SKIN = 0.002  # metres: what lies no deeper below another triangle is seen


@dataclass(frozen=True)
class MeanHead:
    """The mean head's landmarks."""

    points: np.ndarray
    """[68, 3] head space, metres, about the mean of the static ones; the contour is the frontal head's."""
    visible: dict[float, np.ndarray]
    """Yaw of each of Multi-PIE's head-height cameras, degrees -> whether each of the 68 points [68] is seen from it."""

    def seen_from(self, yaw: float) -> np.ndarray:
        """Which points [68] are seen from the nearest of those cameras."""
        return self.visible[min(self.visible, key=lambda known: abs(known - yaw))]

    @property
    def static(self) -> np.ndarray:
        """[51, 3] the points from brows to mouth."""
        return self.points[N_CONTOUR:]

    @property
    def height(self) -> float:
        """From the brows to the lower lip, metres."""
        return float(np.ptp(self.static[:, 1]))


def mean_head(head: HeadArrays) -> MeanHead:
    """The landmarks of a head model with no coefficients. Raises InputError for a head without landmarks."""
    if head.landmarks is None:
        raise InputError("landmarks: the head model has none, and their gates need them; give its embedding")
    vertices = head.v_template.astype(np.float64)
    corners = vertices[head.faces[head.landmarks.full_faces]]  # [68, 3, 3]
    points = (head.landmarks.full_weights[..., None] * corners).sum(1)
    visible = {yaw: _seen(points, vertices[head.faces], about_y(np.radians(yaw))) for yaw in YAW.values()}
    return MeanHead(points - points[N_CONTOUR:].mean(0), visible)


def _seen(points: np.ndarray, triangles: np.ndarray, view: np.ndarray) -> np.ndarray:
    """Whether each point [N, 3] has no triangle [F, 3, 3] in front of it, seen along -z after a turn by `view`."""
    points, triangles = points @ view.T, triangles @ view.T
    low, high, front = triangles[..., :2].min(1), triangles[..., :2].max(1), triangles[..., 2].max(1)
    seen = []
    for point in points:
        near = np.all((low <= point[:2]) & (point[:2] <= high), axis=1) & (front > point[2] + _SKIN)
        seen.append(not np.any(_depth_above(triangles[near], point[:2]) > point[2] + _SKIN))
    return np.array(seen)


def _depth_above(triangles: np.ndarray, place: np.ndarray) -> np.ndarray:
    """z of triangles [F, 3, 3] at `place` (x, y); -inf where they do not cover it."""
    a, b, c = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    area = b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0]
    offset = place - a[:, :2]
    with np.errstate(divide="ignore", invalid="ignore"):  # a triangle on edge covers nothing
        u = (offset[:, 0] * c[:, 1] - offset[:, 1] * c[:, 0]) / area
        v = (b[:, 0] * offset[:, 1] - b[:, 1] * offset[:, 0]) / area
        return np.where((u >= 0) & (v >= 0) & (u + v <= 1), a[:, 2] + u * b[:, 2] + v * c[:, 2], -np.inf)


class Stance(NamedTuple):
    """How the mean head stands in N images."""

    rotation: np.ndarray
    """[N, 3, 3] head space to view axes."""
    misfit: np.ndarray
    """[N] root mean square distance of the 51 points from the mean head's, over its height from brows to lip."""
    shape: np.ndarray
    """[N, 51, 2] the points, y up, about their mean and in units of that height."""

    @property
    def yaw(self) -> np.ndarray:
        """[N] degrees, > 0 where the camera stands on the subject's right; beyond 90 the head is seen from behind."""
        return np.degrees(np.arctan2(self.rotation[:, 0, 2], self.rotation[:, 2, 2]))

    @property
    def facing(self) -> np.ndarray:
        """[N] cosine of the angle between where the head looks and the camera: negative where it is seen from behind,
        as points are that are upside down, mirrored, or in mirrored order."""
        return self.rotation[:, 2, 2]


def stance(landmarks: np.ndarray, head: MeanHead) -> Stance:
    """Fit the mean head to landmarks [N, 68, 2] (px) by rotation, scale and shift, in the least-squares sense.

    Depths are completed by the pose of the round before, which turns each round into Procrustes' problem; the start is
    the nearest rotation to the best affine map.
    """
    points = landmarks[:, N_CONTOUR:] * [1.0, -1.0]
    points = points - points.mean(1, keepdims=True)
    affine = np.swapaxes(points, 1, 2) @ np.linalg.pinv(head.static).T  # [N, 2, 3]
    left, singular, right = np.linalg.svd(affine, full_matrices=False)
    scale, rotation = singular.mean(1), _completed(left @ right)
    for _ in range(ROUNDS):
        depth = scale[:, None, None] * (head.static @ np.swapaxes(rotation, 1, 2))[..., 2:]
        left, _, right = np.linalg.svd(np.swapaxes(np.concatenate([points, depth], 2), 1, 2) @ head.static)
        rotation = _proper(left, right)
        seen = (head.static @ np.swapaxes(rotation, 1, 2))[..., :2]
        scale = (points * seen).sum((1, 2)) / np.square(seen).sum((1, 2))
    unit = np.maximum(scale * head.height, 1e-9)[:, None, None]
    distance = (points - scale[:, None, None] * seen) / unit
    return Stance(rotation, np.sqrt(np.square(distance).sum(2).mean(1)), points / unit)


def _proper(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The rotation left diag(1, 1, +-1) right [N, 3, 3] whose determinant is 1."""
    signs = np.ones((len(left), 3))
    signs[:, 2] = np.sign(np.linalg.det(left @ right))
    return (left * signs[:, None]) @ right


def _completed(rows: np.ndarray) -> np.ndarray:
    """Rotations [N, 3, 3] from their first two rows [N, 2, 3]."""
    return np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], 1)


def disagreement(shapes: np.ndarray) -> np.ndarray:
    """How far views are from showing one rigid head: `Stance.shape` of V >= 2 views [N, V, 51, 2] -> [N].

    All coordinates of all views of a rigid body are linear in its three: what is left of the [2 V, 51] matrix beyond
    rank three is expression, another person or error (Tomasi and Kanade 1992). Root mean square over the points, in
    units of the height from brows to lip.
    """
    views, points = shapes.shape[1:3]
    matrix = np.swapaxes(shapes, 2, 3).reshape(len(shapes), 2 * views, points)
    rest = np.linalg.svd(matrix, compute_uv=False)[:, 3:]
    return np.sqrt(np.square(rest).sum(1) / (points * (2 * views - 3)))
