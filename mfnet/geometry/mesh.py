"""Surface normals of triangle meshes; faces are anticlockwise seen from outside."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mfnet.compute.compiled import kernel, over_batch


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals [B, V, 3]: the mean of the faces around each vertex, weighted by area; zero where there are none.

    vertices [B, V, 3] float32 or float64, faces [F, 3] int64. Differentiable. Raises ValueError for indices that do not
    fit (on the CPU).
    """
    if vertices.is_cuda:
        total, crosses = torch.zeros_like(vertices), _face_crosses(vertices, faces)
        for corner in faces.T:
            total = total.index_add(1, corner, crosses)
    else:
        if faces.numel() and not 0 <= int(faces.min()) <= int(faces.max()) < vertices.shape[1]:
            raise ValueError(f"faces: indices {int(faces.min())}..{int(faces.max())} of {vertices.shape[1]} vertices")
        total = _CrossesAround.apply(vertices, faces)
    return torch.nn.functional.normalize(total, dim=-1, eps=1e-20)


def _face_crosses(vertices: Tensor, faces: Tensor) -> Tensor:
    """Twice the area of each face along its outward normal [B, F, 3]."""
    a, b, c = vertices[:, faces.T].unbind(1)
    return torch.linalg.cross(b - a, c - a)


class _CrossesAround(torch.autograd.Function):
    """The sum of `_face_crosses` around each vertex [B, V, 3]; torch's index_add takes eight times as long on CPUs."""

    @staticmethod
    def forward(ctx: Any, vertices: Tensor, faces: Tensor) -> Tensor:
        vertices, faces = vertices.detach().contiguous(), faces.contiguous()
        total = torch.empty_like(vertices)
        over_batch(_sum_crosses, len(vertices), *(t.numpy() for t in (vertices, faces, total)))
        ctx.save_for_backward(vertices, faces)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        vertices, faces = ctx.saved_tensors
        out = torch.empty_like(vertices)
        over_batch(
            _sum_crosses_backward, len(vertices), *(t.numpy() for t in (vertices, faces, grad.contiguous(), out))
        )
        return out, None


Vector = tuple[float, float, float]


@kernel
def _edges(points: np.ndarray, faces: np.ndarray, face: int) -> tuple[Vector, Vector]:
    """The two edges of a face from its first corner."""
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    first = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
    second = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
    return first, second


@kernel
def _cross(u: Vector, v: Vector) -> Vector:
    return u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]


@kernel
def _sum_crosses(start: int, stop: int, vertices: np.ndarray, faces: np.ndarray, total: np.ndarray) -> None:
    for i in range(start, stop):
        points, out = vertices[i], total[i]
        out[:] = 0
        for face in range(faces.shape[0]):
            first, second = _edges(points, faces, face)
            x, y, z = _cross(first, second)
            for corner in range(3):
                v = faces[face, corner]
                out[v, 0] += x
                out[v, 1] += y
                out[v, 2] += z


@kernel
def _sum_crosses_backward(
    start: int, stop: int, vertices: np.ndarray, faces: np.ndarray, grad: np.ndarray, result: np.ndarray
) -> None:
    """With e = b - a, f = c - a and G the sum of the corners' gradients: d/db = f x G, d/dc = G x e, d/da = -(both)."""
    for i in range(start, stop):
        points, given, out = vertices[i], grad[i], result[i]
        out[:] = 0
        for face in range(faces.shape[0]):
            a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
            first, second = _edges(points, faces, face)
            g = (
                given[a, 0] + given[b, 0] + given[c, 0],
                given[a, 1] + given[b, 1] + given[c, 1],
                given[a, 2] + given[b, 2] + given[c, 2],
            )
            to_b, to_c = _cross(second, g), _cross(g, first)
            for k in range(3):
                out[b, k] += to_b[k]
                out[c, k] += to_c[k]
                out[a, k] -= to_b[k] + to_c[k]


def triangle_map(before: Tensor, after: Tensor) -> Tensor:
    """Linear maps [..., 2, 2] that take a step inside triangles before [..., 3, 2] to the same step inside after.

    Not finite for a triangle without area.
    """
    u, v = (before[..., 1:, :] - before[..., :1, :]).unbind(-2)
    p, q = (after[..., 1:, :] - after[..., :1, :]).unbind(-2)
    area = (u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])[..., None]
    first, second = (p * v[..., 1:] - q * u[..., 1:]) / area, (q * u[..., :1] - p * v[..., :1]) / area
    return torch.stack([first, second], -1)


def uv_vertices(faces: Tensor, uv_faces: Tensor, count: int) -> Tensor:
    """The vertex [count] that each of `count` texture coordinates belongs to, of faces and their uv_faces [F, 3].

    0 for a texture coordinate in no face.
    """
    owner = torch.zeros(count, dtype=torch.int64, device=faces.device)
    owner[uv_faces.flatten()] = faces.flatten()
    return owner
