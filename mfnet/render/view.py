"""A posed head as one camera sees it: all that drawing, visibility tests and texture need to know of pose and
camera."""

from typing import NamedTuple

import torch
from torch import Tensor

from mfnet.geometry import PinholeCamera, clip_from_orthographic, clip_from_perspective, vertex_normals
from mfnet.render.rasterizer import Raster, interpolate, rasterize

FOOTPRINT_RANGE = (0.015, 0.05, 0.05)
"""Neighbouring pixels further apart than this lie across an outline: along the view (metres), in u, in v."""
SURFACE_TOLERANCE = (0.003, 0.005, 0.005)
"""A point further than this from what is seen at its place is hidden: along the view (metres), in u, in v."""
LEAST_FACING = 0.15
"""A surface turned away further (cosine to the camera's direction) is seen too flatly to be used."""


class ProjectedMesh(NamedTuple):
    """B heads of V vertices, each before its camera."""

    clip: Tensor
    """[B, V, 4] clip coordinates; differentiable."""
    distance: Tensor
    """[B, V] metres along the viewing axis, larger is farther; without gradient."""
    facing: Tensor
    """[B, V] cosine between the normal and the direction to the camera, in [-1, 1]; without gradient."""


def orthographic_view(vertices: Tensor, faces: Tensor, camera: Tensor, divisor: Tensor | None = None) -> ProjectedMesh:
    """Posed vertices [B, V, 3] (metres, camera along -z) under scaled orthography, camera [B, 3] = (s, tx, ty).

    With `divisor` [B, V] (`mfnet.geometry.perspective_divisor`) as a camera at a finite distance sees them.
    """
    fixed = vertices.detach()
    clip = clip_from_orthographic(vertices, camera, divisor)
    return ProjectedMesh(clip, -fixed[..., 2], vertex_normals(fixed, faces)[..., 2])


def perspective_view(vertices: Tensor, faces: Tensor, camera: PinholeCamera) -> ProjectedMesh:
    """Posed vertices [B, V, 3] before a pinhole camera of the same unit, such as metres."""
    clip = clip_from_perspective(vertices, camera)
    seen = camera.axes(vertices).detach()
    normals = vertex_normals(vertices.detach(), faces) @ camera.R.mT
    facing = -(normals * torch.nn.functional.normalize(seen, dim=-1)).sum(-1)
    return ProjectedMesh(clip, seen[..., 2], facing)


def ndc(clip: Tensor) -> Tensor:
    """Clip coordinates [..., 4] -> ndc x, y [..., 2]; where w is 0 (no surface) the result is 0."""
    w = clip[..., 3:]
    return torch.where(w != 0, clip[..., :2] / torch.where(w != 0, w, torch.ones_like(w)), torch.zeros_like(w))


def pixel_centres(height: int, width: int, like: Tensor) -> Tensor:
    """Ndc (x, y) of every pixel's centre [H, W, 2], of the type and on the device of `like`."""
    x = (2 * torch.arange(width, dtype=like.dtype, device=like.device) + 1) / width - 1
    y = 1 - (2 * torch.arange(height, dtype=like.dtype, device=like.device) + 1) / height
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def sample_image(image: Tensor, xy: Tensor) -> Tensor:
    """Bilinear samples of image [B, C, H, W] at ndc positions [B, M, N, 2] -> [B, C, M, N]; black outside."""
    grid = xy * xy.new_tensor([1.0, -1.0])
    return torch.nn.functional.grid_sample(image, grid, align_corners=False)


@torch.no_grad()
def seen_at(surface: Tensor, xy: Tensor, expected: Tensor) -> Tensor:
    """Visibility test: which points are not hidden in a view, bool [B, M, N].

    surface [B, H, W, C]: the depth buffer (`surface_map`). With C = 1, the distance, this is a z-test; with C = 3 also
    u and v are compared, which tells apart what is close in space and far on the surface, such as lid and eyeball.
    xy [B, M, N, 2]: where the points fall, ndc. expected [B, M, N, C]: their own distance, u and v.

    A point is seen if the four pixels around it, which a bilinear sample mixes, differ by less than FOOTPRINT_RANGE
    (no outline runs between them) and the point differs from their interpolation by less than SURFACE_TOLERANCE.
    """
    height, width, channels = surface.shape[1:]
    column = (xy[..., 0] + 1) * (width / 2) - 0.5
    row = (1 - xy[..., 1]) * (height / 2) - 0.5
    seen = (column >= 0) & (row >= 0) & (column <= width - 1) & (row <= height - 1)
    left, top = column.floor().clamp(0, width - 2), row.floor().clamp(0, height - 2)
    x, y = column - left, row - top
    corner = (top * width + left).nan_to_num().long().flatten(1)
    for channel in range(channels):
        values = surface[..., channel].flatten(1)
        a, b, c, d = (values.gather(1, corner + step).view_as(x) for step in (0, 1, width, width + 1))
        nearest = torch.minimum(torch.minimum(a, b), torch.minimum(c, d))
        farthest = torch.maximum(torch.maximum(a, b), torch.maximum(c, d))
        between = (a * (1 - x) + b * x) * (1 - y) + (c * (1 - x) + d * x) * y
        seen &= farthest - nearest < FOOTPRINT_RANGE[channel]
        seen &= (expected[..., channel] - between).abs() < SURFACE_TOLERANCE[channel]
    return seen


@torch.no_grad()
def surface_map(
    clip: Tensor,
    distance: Tensor,
    faces: Tensor,
    size: tuple[int, int],
    uv: Tensor | None = None,
    uv_faces: Tensor | None = None,
) -> Tensor:
    """Depth buffer of a view of size (height, width), for `seen_at`: [B, H, W, 1 or 3], infinite in the background.

    Channels: distance (metres) and, with uv [T, 2] and its table uv_faces [F, 3], u and v. clip [B, V, 4] and
    distance [B, V] as in `ProjectedMesh`.
    """
    return surface_of(rasterize(clip, faces, *size), distance, faces, uv, uv_faces)


@torch.no_grad()
def surface_of(
    raster: Raster, distance: Tensor, faces: Tensor, uv: Tensor | None = None, uv_faces: Tensor | None = None
) -> Tensor:
    """`surface_map` of heads that are drawn already."""
    surface = interpolate(distance[..., None].contiguous(), raster, faces)
    if uv is not None:
        assert uv_faces is not None  # uv and its table come together
        surface = torch.cat([surface, interpolate(uv.to(surface.dtype), raster, uv_faces)], -1)
    return torch.where((raster.face_id > 0)[..., None], surface, torch.full_like(surface, torch.inf))
