"""iBUG's 68 landmarks on a head from the 478 of the mesh, the contour walking with the yaw."""

import numpy as np

from mfnet.flame.embedding import N_YAW_ROWS
from mfnet.flame.head import LandmarkEmbedding
from mfnet.landmarks.ibug import N_CONTOUR
from mfnet.landmarks.mediapipe.ibug68 import ibug68
from mfnet.locating.surface import SurfacePoints, nearest

SAMPLES = 24
"""Places of each contour point between the edge of the jaw and the front of the cheek."""
INWARDS, UPWARDS = 0.5, 0.25
"""The front end of a point's walk: its distance from the middle is this share of the jaw's, and below the mouth it lies
this share of the way up to it."""
MOUTH = slice(48, 60)


def embedding_68(places: np.ndarray, vertices: np.ndarray, faces: np.ndarray, allowed: np.ndarray) -> LandmarkEmbedding:
    """The embedding from the mesh's places [478, 3] on the template [V, 3]; allowed [A]: faces that may carry points.

    The static points are the table's means, laid on the surface. A contour point lies where its walk from the jaw's
    edge across the cheek is the outermost of the head so turned; one that turns towards the camera rests on the edge.
    """
    points = ibug68(places * [1, -1, 1]) * [1, -1, 1]  # the table's jaw runs along the oval as an image shows it
    static = nearest(points[N_CONTOUR:], vertices, faces, allowed)
    walk = _walk(points, vertices, faces, allowed)  # 17 x SAMPLES
    at = walk.on(vertices, faces).reshape(N_CONTOUR, SAMPLES, 3)
    outward = _outward(at[:, 0, :2])
    rows = []
    last = N_YAW_ROWS // 2
    for yaw in np.radians(np.concatenate([np.arange(last + 1), -np.arange(1, last + 1)])):
        image = np.stack([at[..., 0] * np.cos(yaw) + at[..., 2] * np.sin(yaw), at[..., 1]], -1)
        farthest = np.round((image * outward[:, None]).sum(-1), 6).argmax(1)
        rows.append(np.arange(N_CONTOUR) * SAMPLES + farthest)
    contour = np.stack(rows)
    dynamic = walk.faces[contour], walk.weights[contour]
    full = [np.concatenate([moving[0], still]) for moving, still in zip(dynamic, static, strict=True)]
    return LandmarkEmbedding(*static, *dynamic, *full)


def _walk(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, allowed: np.ndarray) -> SurfacePoints:
    """Places of the 17 contour points from the jaw's edge to the front of the cheek, SAMPLES each."""
    jaw, mouth = points[:N_CONTOUR], points[MOUTH].mean(0)
    front = jaw.copy()
    front[:, 0] = mouth[0] + INWARDS * (jaw[:, 0] - mouth[0])
    front[:, 1] += UPWARDS * (mouth[1] - jaw[:, 1]).clip(0)
    front[:, 2] = _depth(front[:, :2], vertices, faces[allowed])
    share = np.linspace(0, 1, SAMPLES)[:, None]
    between = jaw[:, None] * (1 - share) + front[:, None] * share
    return nearest(between.reshape(-1, 3), vertices, faces, allowed)


def _depth(places: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """z [N] of the vertices of `faces` that lie nearest to places [N, 2] as seen from the front."""
    used = vertices[np.unique(faces)]
    away = np.linalg.norm(used[None, :, :2] - places[:, None], axis=-1)
    return used[away.argmin(1), 2]


def _outward(jaw: np.ndarray) -> np.ndarray:
    """Unit directions [17, 2] across the jaw line [17, 2] (x, y up), away from the face; at its ends straight aside."""
    along = np.gradient(jaw, axis=0)
    normal = np.stack([along[:, 1], -along[:, 0]], 1)
    normal *= np.sign((normal * (jaw - jaw.mean(0))).sum(1, keepdims=True))
    for row, side in ((0, -1.0), (1, -1.0), (-2, 1.0), (-1, 1.0)):
        normal[row] = side, 0
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)
