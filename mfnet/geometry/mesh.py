"""Surface normals of triangle meshes; faces are anticlockwise seen from outside."""

import torch
from torch import Tensor


def _face_crosses(vertices: Tensor, faces: Tensor) -> Tensor:
    """Twice the area of each face along its outward normal [B, F, 3]."""
    a, b, c = vertices[:, faces.T].unbind(1)
    return torch.linalg.cross(b - a, c - a)


def face_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit outward normals [B, F, 3] of faces [F, 3] over vertices [B, V, 3]; zero for a face without area."""
    return torch.nn.functional.normalize(_face_crosses(vertices, faces), dim=-1, eps=1e-20)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals [B, V, 3]: the mean of the faces around each vertex, weighted by area; zero where there are none.

    vertices [B, V, 3], faces [F, 3] int64. Differentiable.
    """
    crosses = _face_crosses(vertices, faces)
    total = torch.zeros_like(vertices)
    for corner in faces.T:
        total = total.index_add(1, corner, crosses)
    return torch.nn.functional.normalize(total, dim=-1, eps=1e-20)
