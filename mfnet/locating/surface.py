"""Points on a triangle mesh: barycentric coordinates, and the nearest ones."""

from typing import NamedTuple

import numpy as np


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

    Corners and edges are met by clamping, which is exact to a fraction of a triangle.
    """
    triangles = vertices[faces[allowed]]
    chosen, weights = [], []
    for point in points:
        each = barycentric(np.broadcast_to(point, (len(triangles), 3)), triangles)
        far = np.linalg.norm((each[..., None] * triangles).sum(1) - point, axis=-1)
        best = int(far.argmin())
        chosen.append(allowed[best])
        weights.append(each[best])
    return SurfacePoints(np.array(chosen), np.array(weights))


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals [F, 3]; zero for faces without area."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a)
    return normal / np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-20)
