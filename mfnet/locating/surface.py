"""Points on a triangle mesh: barycentric coordinates, and the nearest ones."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree

NEAR = 64
"""Triangles round a point that are looked at."""


class SurfacePoints(NamedTuple):
    """N points inside triangles of a mesh."""

    faces: np.ndarray
    """[N] index of the triangle."""
    weights: np.ndarray
    """[N, 3] barycentric, not negative, sums of 1."""

    def on(self, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Their places [..., N, D] on vertices [..., V, D] joined by faces [F, 3]."""
        return (vertices[..., faces[self.faces], :] * self.weights[..., None]).sum(-2)


def barycentric(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Weights [N, 3] of points [N, D] in triangles [N, 3, D] (least squares for D > 2), clamped to the triangle."""
    a, ab, ac = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    sides = np.stack([ab, ac], -1)  # [N, D, 2]
    normal = sides.swapaxes(-1, -2) @ sides + 1e-18 * np.eye(2)
    uv = np.linalg.solve(normal, sides.swapaxes(-1, -2) @ (points - a)[..., None])[..., 0]
    weights = np.concatenate([1 - uv.sum(-1, keepdims=True), uv], -1).clip(0)
    return weights / weights.sum(-1, keepdims=True)


def nearest(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, allowed: np.ndarray) -> SurfacePoints:
    """The points of the `allowed` [A] of the faces [F, 3] that lie nearest to `points` [N, 3].

    Of triangles whose centres are near; corners and edges are met by clamping, which is exact to a fraction of one.
    """
    triangles = vertices[faces[allowed]]
    near = KDTree(triangles.mean(1)).query(points, min(NEAR, len(allowed)))[1].reshape(len(points), -1)  # [N, k]
    chosen = triangles[near]
    spread = np.broadcast_to(points[:, None], (*near.shape, 3)).reshape(-1, 3)
    weights = barycentric(spread, chosen.reshape(-1, 3, 3)).reshape(*near.shape, 3)
    far = np.linalg.norm((weights[..., None] * chosen).sum(2) - points[:, None], axis=-1)
    best, rows = far.argmin(1), np.arange(len(points))
    return SurfacePoints(allowed[near[rows, best]], weights[rows, best])


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals [F, 3]; zero for faces without area."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a)
    return normal / np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-20)
