"""Drawing textured, lit heads: what the training sampler and the capture share."""

from typing import NamedTuple

import torch
from torch import Tensor

from mfnet.flame import Flame
from mfnet.geometry import ndc_to_pixels, uv_vertices
from mfnet.render import Raster, interpolate, rasterize, sample_texture, sh_basis

BEHIND = -1e3
"""Depth (metres towards the camera) of the background."""
TOLERANCE = 0.004
"""Metres that a point may lie behind what is drawn around it and still count as seen."""
INSIDE = 0.12
"""Brightness of the inside of the head."""


class Drawing(NamedTuple):
    """A batch of heads, before any light falls on them."""

    raster: Raster
    albedo: Tensor  # [B, 3, H, W] 0..1, black on the background
    normals: Tensor  # [B, H, W, 3] of the vertices' axes, not quite unit, zero on the background
    cover: Tensor  # [B, 1, H, W] 1 on the head, 0 on the background
    depth: Tensor  # [B, H, W] metres towards the camera, BEHIND on the background


def draw(
    flame: Flame, clip: Tensor, depth: Tensor, textures: Tensor, normals: Tensor, size: tuple[int, int]
) -> Drawing:
    """Draw heads of clip [B, V, 4] with textures [B, 3, Ht, Wt] at size = (height, width).

    depth [B, V]: metres towards the camera, larger is nearer; normals [B, V, 3] in the axes of the light to come.
    """
    raster = rasterize(clip, flame.faces, *size)
    uv, uv_faces = flame.uv_map
    owners = uv_vertices(flame.faces, uv_faces, len(uv))
    per_vertex = torch.cat([normals, depth[..., None]], -1)[:, owners]
    attributes = torch.cat([uv.expand(len(clip), -1, -1), per_vertex], -1)
    pixels = interpolate(attributes, raster, uv_faces)  # [B, H, W, 2 + 3 + 1]
    head = raster.face_id > 0
    cover = head[:, None].float()
    albedo = sample_texture(textures, pixels[..., :2].contiguous())
    albedo *= cover * _outside(clip, raster, flame.faces)
    seen = torch.where(head, pixels[..., 5], torch.full_like(pixels[..., 5], BEHIND))
    return Drawing(raster, albedo, pixels[..., 2:5], cover, seen)


def develop(drawing: Drawing, light: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Colours [B, L, 3, h, w] under light [B, L, 9, 3], black behind, and cover [B, 1, h, w] in 0..1; h = H / factor.

    Albedo and normals are averaged over factor x factor pixels before they are shaded: light varies slowly.
    """
    albedo, cover = (torch.nn.functional.avg_pool2d(layer, factor) for layer in (drawing.albedo, drawing.cover))
    blocks = drawing.normals.unflatten(2, (-1, factor)).unflatten(1, (-1, factor))  # [B, h, factor, w, factor, 3]
    normals = torch.nn.functional.normalize(blocks.sum((2, 4)).flatten(1, 2), dim=-1)  # [B, h w, 3]
    shading = shade_normals(normals[:, None], light).transpose(2, 3)  # [B, L, 3, h w]
    return albedo[:, None] * shading.unflatten(3, albedo.shape[2:]), cover


def _outside(clip: Tensor, raster: Raster, faces: Tensor) -> Tensor:
    """Brightness [B, 1, H, W]: 1, but INSIDE where a face is seen from within, as through an open mouth."""
    corners = (clip[..., :2] / clip[..., 3:])[:, faces.T]  # [B, 3, F, 2]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    away = a[..., 0] * b[..., 1] < a[..., 1] * b[..., 0]
    brightness = torch.where(away, INSIDE, 1.0)
    face = (raster.face_id - 1).clamp_min(0).long().flatten(1)
    return brightness.gather(1, face).view(len(clip), 1, *raster.face_id.shape[1:])


def shade_normals(normals: Tensor, light: Tensor) -> Tensor:
    """Shading [..., N, 3] of unit normals [..., N, 3] under light [..., 9, 3] in the same axes: eq. 2, positive."""
    return (sh_basis(normals) @ light).clamp_min(0.02)


def visible_points(points: Tensor, clip_points: Tensor, depth: Tensor) -> Tensor:
    """Which points [B, N, 3] (metres, z towards the camera) are seen in the depth image [B, H, W] -> bool [B, N].

    clip_points [B, N, 4]: where they fall. Hidden: outside the image, or behind the surface there (`not_hidden`).
    """
    height, width = depth.shape[1:]
    ndc = clip_points[..., :2] / clip_points[..., 3:]
    return (ndc.abs() < 1).all(-1) & not_hidden(depth, ndc_to_pixels(ndc, width, height), points[..., 2])


def not_hidden(depth: Tensor, pixels: Tensor, towards: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Which points are drawn, or lie in front of what is: bool [B, ...].

    depth [B, H, W]: metres towards the camera of what is drawn, far below zero on the background; pixels [B, ..., 2]
    and towards [B, ...]: where the points fall and how far towards the camera they are. Hidden: `tolerance` (metres)
    and more behind the farthest of the nine pixels around, so that no point on an outline is hidden by its own surface.
    """
    height, width = depth.shape[1:]
    farthest = -torch.nn.functional.max_pool2d(-depth[:, None], 3, 1, 1)
    column, row = (pixels[..., axis].floor().long().clamp(0, side - 1) for axis, side in ((0, width), (1, height)))
    surface = farthest.flatten(1).gather(1, (row * width + column).flatten(1)).view_as(towards)
    return towards >= surface - tolerance
