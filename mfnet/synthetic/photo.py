"""Drawing textured, lit heads: what the training sampler and the capture share."""

from typing import NamedTuple

import torch
from torch import Tensor

from mfnet.flame import Flame
from mfnet.geometry import ndc_to_pixels
from mfnet.render import Raster, interpolate, rasterize, sample_texture, sh_basis

BEHIND = -1e3
"""Depth (metres towards the camera) of the background."""


class Drawing(NamedTuple):
    """A batch of heads, each under L lights."""

    raster: Raster
    colours: Tensor  # [B, L, 3, H, W] linear, black on the background
    cover: Tensor  # [B, 1, H, W] 1 on the head, 0 on the background
    depth: Tensor  # [B, H, W] metres towards the camera, BEHIND on the background


def draw(
    flame: Flame, clip: Tensor, depth: Tensor, textures: Tensor, shading: Tensor, height: int, width: int
) -> Drawing:
    """Draw heads of clip [B, V, 4] with textures [B, 3, Ht, Wt] at height x width.

    depth [B, V]: metres towards the camera, larger is nearer; shading [B, L, V, 3] (`shade_vertices`).
    """
    lights = shading.shape[1]
    raster = rasterize(clip, flame.faces, height, width)
    per_vertex = torch.cat([shading.transpose(1, 2).flatten(2), depth[..., None]], -1)  # [B, V, 3L + 1]
    uv = flame.uv.expand(len(clip), -1, -1)
    pixels = interpolate(torch.cat([uv, per_vertex[:, uv_vertices(flame)]], -1), raster, flame.uv_faces)
    albedo = sample_texture(textures, pixels[..., :2].contiguous())
    shaded = pixels[..., 2:-1].permute(0, 3, 1, 2).unflatten(1, (lights, 3))
    head = raster.face_id > 0
    seen = torch.where(head, pixels[..., -1], torch.full_like(pixels[..., -1], BEHIND))
    return Drawing(raster, shaded * albedo[:, None], head[:, None].float(), seen)


def uv_vertices(flame: Flame) -> Tensor:
    """The vertex [T] that each vertex of the UV layout belongs to."""
    owner = torch.zeros(len(flame.uv), dtype=torch.int64)
    owner[flame.uv_faces.flatten()] = flame.faces.flatten()
    return owner


def shade_vertices(normals: Tensor, light: Tensor) -> Tensor:
    """Shading [..., V, 3] of vertex normals [..., V, 3] under light [..., 9, 3] in the same axes: eq. 2, positive."""
    return (sh_basis(normals) @ light).clamp_min(0.02)


def reduce(image: Tensor, factor: int) -> Tensor:
    """Average blocks of factor x factor pixels: [B, C, factor*H, factor*W] -> [B, C, H, W]."""
    return image if factor == 1 else torch.nn.functional.avg_pool2d(image, factor)


def visible_points(points: Tensor, clip_points: Tensor, depth: Tensor) -> Tensor:
    """Which points [B, N, 3] (metres, z towards the camera) are seen in the depth image [B, H, W] -> bool [B, N].

    clip_points [B, N, 4]: where they fall. Hidden: outside the image, or 4 mm and more behind the farthest surface
    among the nine pixels around.
    """
    height, width = depth.shape[1:]
    ndc = clip_points[..., :2] / clip_points[..., 3:]
    column, row = ndc_to_pixels(ndc, width, height).long().unbind(-1)
    surface = torch.full_like(points[..., 2], torch.inf)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            place = (row + down).clamp(0, height - 1) * width + (column + right).clamp(0, width - 1)
            surface = torch.minimum(surface, depth.flatten(1).gather(1, place))
    return (ndc.abs() < 1).all(-1) & (points[..., 2] >= surface - 0.004)
