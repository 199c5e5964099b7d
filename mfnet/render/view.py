"""A posed head as one camera sees it: all that drawing, visibility tests and texture need to know of pose and
camera."""

from typing import NamedTuple

import torch
from torch import Tensor

from mfnet.geometry import clip_from_orthographic, clip_from_perspective, vertex_normals

FOOTPRINT_RANGE = 0.015
"""Four neighbouring pixels further apart than this along the view (metres) lie across an outline."""
DEPTH_TOLERANCE = 0.003
"""A point this far (metres) behind what is seen at its place is hidden."""
LEAST_FACING = 0.15
"""A surface turned away further (cosine to the camera's direction) is seen too flatly to be used."""


class View(NamedTuple):
    """B heads of V vertices, each before its camera."""

    clip: Tensor
    """[B, V, 4] clip coordinates; differentiable."""
    distance: Tensor
    """[B, V] metres along the viewing axis, larger is farther; without gradient."""
    facing: Tensor
    """[B, V] cosine between the normal and the direction to the camera, in [-1, 1]; without gradient."""


def orthographic_view(vertices: Tensor, faces: Tensor, camera: Tensor) -> View:
    """Posed vertices [B, V, 3] (metres, camera along -z) under scaled orthography, camera [B, 3] = (s, tx, ty)."""
    fixed = vertices.detach()
    return View(clip_from_orthographic(vertices, camera), -fixed[..., 2], vertex_normals(fixed, faces)[..., 2])


def perspective_view(
    vertices: Tensor, faces: Tensor, K: Tensor, R: Tensor, t: Tensor, width: int, height: int, near: float, far: float
) -> View:
    """Posed vertices [B, V, 3] (metres) before a pinhole camera; see `mfnet.geometry.project_perspective`."""
    clip = clip_from_perspective(vertices, K, R, t, width, height, near, far)
    seen = (vertices @ R.mT + t[:, None]).detach()
    normals = vertex_normals(vertices.detach(), faces) @ R.mT
    facing = -(normals * torch.nn.functional.normalize(seen, dim=-1)).sum(-1)
    return View(clip, seen[..., 2], facing)


def ndc(clip: Tensor) -> Tensor:
    """Clip coordinates [..., 4] -> ndc x, y [..., 2]; where w is 0 (no surface) the result is 0."""
    w = clip[..., 3:]
    return torch.where(w != 0, clip[..., :2] / torch.where(w != 0, w, torch.ones_like(w)), torch.zeros_like(w))


def sample_image(image: Tensor, xy: Tensor) -> Tensor:
    """Bilinear samples of image [B, C, H, W] at ndc positions [B, M, N, 2] -> [B, C, M, N]; black outside."""
    grid = xy * xy.new_tensor([1.0, -1.0])
    return torch.nn.functional.grid_sample(image, grid, align_corners=False)


@torch.no_grad()
def seen_at(distance_map: Tensor, xy: Tensor, distance: Tensor) -> Tensor:
    """The z-test: which points [B, M, N] of a surface are seen in a view, bool.

    distance_map: [B, H, W] metres, infinite in the background; xy: [B, M, N, 2] ndc; distance: [B, M, N] metres. A
    point is seen if the four pixels around it, those a bilinear sample would mix, all show one unbroken surface
    (FOOTPRINT_RANGE) and the point lies on it (DEPTH_TOLERANCE).
    """
    height, width = distance_map.shape[1:]
    column = (xy[..., 0] + 1) * (width / 2) - 0.5
    row = (1 - xy[..., 1]) * (height / 2) - 0.5
    left, top = column.floor().clamp(0, width - 2), row.floor().clamp(0, height - 2)
    inside = (column >= 0) & (row >= 0) & (column <= width - 1) & (row <= height - 1)
    corner = (top * width + left).nan_to_num().long().flatten(1)
    flat = distance_map.flatten(1)
    a, b, c, d = (flat.gather(1, corner + offset).view_as(distance) for offset in (0, 1, width, width + 1))
    nearest = torch.minimum(torch.minimum(a, b), torch.minimum(c, d))
    farthest = torch.maximum(torch.maximum(a, b), torch.maximum(c, d))
    x, y = column - left, row - top
    surface = (a * (1 - x) + b * x) * (1 - y) + (c * (1 - x) + d * x) * y
    return inside & (farthest - nearest < FOOTPRINT_RANGE) & ((distance - surface).abs() < DEPTH_TOLERANCE)
