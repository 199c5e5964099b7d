"""Drawing heads: textured (eq. 4), shaded (eq. 2), and I_{a->b}, a photograph of view a redrawn in view b."""

from typing import NamedTuple

import torch
from torch import Tensor

from mfnet.render.rasterizer import Raster, interpolate, rasterize
from mfnet.render.shading import shade
from mfnet.render.texture import UVLayout, sample_texture
from mfnet.render.view import LEAST_FACING, ProjectedMesh, ndc, pixel_centres, sample_image, seen_at, surface_map


class CrossView(NamedTuple):
    """I_{a->b}; see `render_cross_view`."""

    image: Tensor
    """[B, C, H, W], 0 in the background; differentiable to the photograph and to both views' clip coordinates."""
    seen: Tensor
    """[B, H, W] bool: what b shows at the pixel is seen in a too (z-test)."""
    source: Tensor
    """[B, H, W, 2] ndc in view a of what b shows at the pixel, 0 in the background; differentiable."""
    raster: Raster
    """View b."""


def render_textured(
    texture: Tensor, view: ProjectedMesh, layout: UVLayout, height: int, width: int
) -> tuple[Tensor, Raster]:
    """Eq. 4: heads with texture [B or 1, C, T, T] in view -> image [B, C, height, width], 0 in the background, and the
    raster.

    Differentiable to the texture and, inside triangles, to the view's clip coordinates.
    """
    raster = rasterize(view.clip, layout.faces, height, width)
    uv = interpolate(layout.uv.to(view.clip.dtype), raster, layout.uv_faces)
    return sample_texture(texture, uv) * (raster.face_id > 0)[:, None], raster


def render_shaded(
    albedo: Tensor, normals: Tensor, light: Tensor, view: ProjectedMesh, layout: UVLayout, size: tuple[int, int]
) -> tuple[Tensor, Raster]:
    """Eq. 2 and 4: albedo texture [B or 1, 3, T, T] under light [B, 9, 3] -> image [B, 3, height, width] and the
    raster; size: (height, width).

    normals [B, V, 3]: unit normals of the vertices, in the light's axes. Differentiable to all.
    """
    drawn, raster = render_textured(albedo, view, layout, *size)
    across = torch.nn.functional.normalize(interpolate(normals, raster, layout.faces), dim=-1)
    return shade(drawn, across, light), raster


def render_cross_view(
    photo: Tensor, view_a: ProjectedMesh, view_b: ProjectedMesh, faces: Tensor, height: int, width: int
) -> CrossView:
    """I_{a->b}: view b, coloured with photo [B, C, Ha, Wa] of view a, at height x width pixels.

    Eq. 4 with a texture of unbounded resolution: each pixel of b is followed to its point on the surface and from there
    into the photograph, so that a -> a gives the photograph itself. Pixels that a does not see (`seen` is False) hold
    whatever lies before their point in a: mask them, or go through `unwrap`, `fill_holes` and `render_textured`.
    """
    raster = rasterize(view_b.clip, faces, height, width)
    fixed = [view_a.distance[..., None], view_a.facing[..., None], view_b.clip.detach()]
    points = interpolate(torch.cat([view_a.clip, *fixed], -1), raster, faces)  # [B, H, W, 10]
    # Where a snapped face reaches beyond itself, its nearest point stands for the pixel: add what it is off in b.
    off = pixel_centres(height, width, points) - ndc(points[..., 6:].detach())
    source = (ndc(points[..., :4]) + off) * (raster.face_id > 0)[..., None]
    surface = surface_map(view_a.clip, view_a.distance, faces, (photo.shape[-2], photo.shape[-1]))
    head = raster.face_id > 0
    seen = head & seen_at(surface, source, points[..., 4:5]) & (points[..., 5] > LEAST_FACING)
    return CrossView(sample_image(photo, source) * head[:, None], seen, source, raster)
