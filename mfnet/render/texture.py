"""Texture in the head's UV layout: sampling, unwrapping photographs, filling holes, fusing views, eq. 3.

A texture [3, T, T] has row 0 at v = 1 and texel centres at half steps, like an image: u = (column + 0.5) / T,
v = 1 - (row + 0.5) / T.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mfnet.render.rasterizer import Raster, interpolate, rasterize
from mfnet.render.view import LEAST_FACING, ProjectedMesh, ndc, sample_image, seen_at, surface_of


class UVLayout(NamedTuple):
    """The head's surface, laid out on T x T texels."""

    faces: Tensor
    """[F, 3] the mesh's faces."""
    uv: Tensor
    """[N, 2] in [0, 1], v up."""
    uv_faces: Tensor
    """[F, 3] indices into uv."""
    raster: Raster
    """[1, T, T] which point of the surface each texel's centre is."""


def uv_layout(faces: Tensor, uv: Tensor, uv_faces: Tensor, size: int) -> UVLayout:
    """Lay the surface out on size x size texels. Compute it once: it depends on the head model alone."""
    flat = torch.cat([2 * uv - 1, torch.zeros_like(uv[:, :1]), torch.ones_like(uv[:, :1])], -1)
    return UVLayout(faces, uv, uv_faces, rasterize(flat[None].float(), uv_faces, size, size))


def faces_of(vertex_mask: Tensor, faces: Tensor) -> Tensor:
    """Faces [F] bool whose three vertices are all in vertex_mask [V] bool."""
    return vertex_mask[faces].all(-1)


def facial_mask(layout: UVLayout, vertex_mask: Tensor) -> Tensor:
    """M_face of eq. 3: texels [T, T] bool of the faces whose vertices are all in vertex_mask [V] bool."""
    return region_of(layout.raster, faces_of(vertex_mask, layout.faces))[0]


def region_of(raster: Raster, chosen: Tensor) -> Tensor:
    """Pixels [B, H, W] bool that show one of the chosen faces [F] bool."""
    return torch.cat([chosen.new_zeros(1), chosen])[raster.face_id.long()]


def sample_texture(texture: Tensor, uv: Tensor) -> Tensor:
    """Bilinear samples of texture [B or 1, C, Ht, Wt] at uv [B, H, W, 2] (v up) -> [B, C, H, W]; differentiable to
    both."""
    grid = (uv - 0.5) * uv.new_tensor([2.0, -2.0])
    texture = texture.expand(len(uv), -1, -1, -1)
    return torch.nn.functional.grid_sample(texture, grid, padding_mode="border", align_corners=False)


def unwrap(photo: Tensor, view: ProjectedMesh, layout: UVLayout, corrections: int = 2) -> tuple[Tensor, Tensor]:
    """Carry photographs into the UV layout: photo [B, C, H, W], view of B heads -> texture [B, C, T, T], weight [B, T,
    T].

    The weight is the cosine between the surface and the camera for texels that are seen, and 0 for those that are
    hidden: by another part of the head or the image's border (`seen_at`), turned away, or not on the head. A
    texel of weight 0 is 0. Differentiable to the photograph and the view's clip coordinates.

    Sampling the photograph and then the texture blurs what changes from pixel to pixel. So the head is drawn with the
    texture, what the photograph has beyond that is carried over as well, and this is repeated `corrections` times
    (back projection: Irani and Peleg 1991, "Improving resolution by image registration").
    """
    faces, batch = layout.faces, len(photo)
    height, width = photo.shape[-2:]
    drawn = rasterize(view.clip, faces, height, width)
    surface = surface_of(drawn, view.distance, faces, layout.uv, layout.uv_faces)
    raster = Raster(*(field.expand(batch, *field.shape[1:]) for field in layout.raster))
    per_vertex = torch.cat([view.clip, view.distance[..., None], view.facing[..., None]], -1)
    texels = interpolate(per_vertex, raster, faces)  # [B, T, T, 6]
    xy, facing = ndc(texels[..., :4]), texels[..., 5].detach()
    uv = interpolate(layout.uv.to(texels.dtype), layout.raster, layout.uv_faces).expand(batch, -1, -1, -1)
    seen = seen_at(surface, xy, torch.cat([texels[..., 4:5], uv], -1))
    seen &= (facing > LEAST_FACING) & (raster.face_id > 0)
    weight = torch.where(seen, facing, torch.zeros_like(facing))
    seen = seen[:, None].to(photo.dtype)
    texture = sample_image(photo, xy) * seen
    drawn_uv = interpolate(layout.uv.to(view.clip.dtype), drawn, layout.uv_faces)
    complete = (sample_texture(seen, drawn_uv) > 0.999) & (drawn.face_id > 0)[:, None]  # show seen texels only
    for _ in range(corrections):
        missing = (photo - sample_texture(texture, drawn_uv)) * complete
        texture = texture + sample_image(missing, xy) * seen
    return texture, weight


@torch.no_grad()
def inside_outline(view: ProjectedMesh, layout: UVLayout, height: int, width: int, margin: float) -> Tensor:
    """Texels [B, T, T] bool that lie at least `margin` (ndc) inside the drawn heads' outline, in x and in y.

    Where the drawn head is larger than the photographed one, what is near its outline shows the wall behind.
    """
    rows, columns = round(margin * height / 2), round(margin * width / 2)
    tall, wide = height + 2 * rows, width + 2 * columns  # the outline may lie just outside the image
    clip = view.clip * view.clip.new_tensor([width / wide, height / tall, 1, 1])
    wall = (rasterize(clip, layout.faces, tall, wide).face_id == 0)[:, None].to(clip.dtype)
    near = torch.nn.functional.max_pool2d(wall, (2 * rows + 1, 2 * columns + 1), stride=1)  # [B, 1, height, width]
    raster = Raster(*(field.expand(len(wall), *field.shape[1:]) for field in layout.raster))
    return sample_image(near, ndc(interpolate(view.clip, raster, layout.faces)))[:, 0] == 0


def fuse_views(textures: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over views, weighted by how squarely each sees the texel: textures [B, V, C, T, T], weights [B, V, T, T].

    Returns texture [B, C, T, T] and the greatest weight [B, T, T] (0: hidden in every view, and the texture is 0).
    Weights are squared, so that the view that sees a texel best decides most of it.
    """
    share = weights.square()
    total = share.sum(1)
    share = share / torch.where(total > 0, total, torch.ones_like(total))[:, None]
    return (textures * share[:, :, None]).sum(1), weights.amax(1)


def fill_holes(texture: Tensor, known: Tensor) -> Tensor:
    """Fill the texels of texture [B, C, T, T] where known [B, T, T] is not positive; known texels stay as they are, bit
    by bit.

    Pull and push (Gortler et al. 1996, "The Lumigraph"): known texels are averaged into coarser and coarser levels,
    holes are then filled from the next coarser level by bilinear interpolation, so that the values flow in from the
    hole's rim. Where nothing at all is known the result is 0. Differentiable.
    """
    mask = (known > 0).to(texture.dtype)[:, None]
    filled = _pull_push(texture * mask, mask)
    return torch.where(mask > 0, texture, filled)


def _pull_push(values: Tensor, weight: Tensor) -> Tensor:
    """values [B, C, H, W] weighted by weight [B, 1, H, W] in [0, 1] (values are 0 where it is 0) -> without holes."""
    if max(values.shape[-2:]) == 1:
        return values
    halve = torch.nn.functional.avg_pool2d
    coarse_weight = halve(weight, 2, ceil_mode=True, count_include_pad=False)
    coarse = halve(values * weight, 2, ceil_mode=True, count_include_pad=False)
    coarse = coarse / torch.where(coarse_weight > 0, coarse_weight, torch.ones_like(coarse_weight))
    coarse = _pull_push(coarse, (4 * coarse_weight).clamp_max(1))
    fine = torch.nn.functional.interpolate(coarse, size=values.shape[-2:], mode="bilinear", align_corners=False)
    return values * weight + fine * (1 - weight)


def face_texture(texture: Tensor, known: Tensor, face: Tensor | None = None) -> Tensor:
    """I_uv of eq. 3: the holes of I'_uv [B, C, T, T] filled (`fill_holes`) inside M_face, and nothing outside of it.

    face: M_face [T, T] bool (`facial_mask`); None: the whole head, as a reconstruction shows it.
    """
    return fill_holes(texture, known) if face is None else fill_holes(texture, known * face) * face
