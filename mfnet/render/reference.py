"""The rasterizer once more, in plain torch and float64: slow, dense over faces and pixels, and meant to be read.

It takes another road than the kernels: nothing is clipped. Every triangle is tested by its homogeneous edge functions,
which stay right when a vertex lies behind the camera. Only the snapping to 1/16 pixel is the same, so that faces agree.
"""

import torch
from torch import Tensor

from mfnet.render.rasterizer import Raster

SUBPIXEL = 16


def pixel_centres(height: int, width: int) -> Tensor:
    """Ndc (x, y) of every pixel's centre [H, W, 2], row 0 at the top."""
    x = (2 * torch.arange(width, dtype=torch.float64) + 1) / width - 1
    y = 1 - (2 * torch.arange(height, dtype=torch.float64) + 1) / height
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def snap(clip: Tensor, height: int, width: int) -> Tensor:
    """Screen positions [V, 3] = (x, y, 1) in steps of 1/16 pixel, y down; (x w, y w, w) where w <= 0 and none
    exists."""
    x, y, _, w = clip.unbind(-1)
    size = torch.tensor([width, height], dtype=torch.float64) * SUBPIXEL / 2
    homogeneous = torch.stack([(x + w) * size[0], (w - y) * size[1]], -1)
    visible = w > 0
    steps = torch.floor(homogeneous / torch.where(visible, w, torch.ones_like(w))[:, None] + 0.5)
    ones = torch.ones_like(w)
    return torch.where(
        visible[:, None], torch.cat([steps, ones[:, None]], -1), torch.cat([homogeneous, w[:, None]], -1)
    )


def edges(corners: Tensor) -> Tensor:
    """Edge functions of triangles [F, 3, 3] (homogeneous corners): coefficients [F, 3, 3] over (x, y, 1) of the
    point."""
    a, b, c = corners.unbind(1)
    return torch.stack([torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], 1)


def covered(clip: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
    """Which snapped triangle covers which pixel's centre: [F, H, W] bool; on an edge, if it is a top or a left one."""
    corners = snap(clip, height, width)[faces]
    coefficients = edges(corners)
    # The determinant is the sum of the edge functions at any w: its sign makes the inside positive.
    determinant = (coefficients[:, 0] * corners[:, 0]).sum(-1)
    coefficients = coefficients * torch.sign(determinant)[:, None, None]
    x, y = torch.meshgrid(torch.arange(width) * 16.0 + 8, torch.arange(height) * 16.0 + 8, indexing="xy")
    points = torch.stack([x, y, torch.ones_like(x)], -1).to(torch.float64)
    value = torch.einsum("fec,hwc->fehw", coefficients, points)
    # The inside lies to the right of a left edge (value grows with x) and below a top edge (value grows with y).
    owns = (coefficients[..., 0] > 0) | ((coefficients[..., 0] == 0) & (coefficients[..., 1] > 0))
    inside = (value > 0) | ((value == 0) & owns[..., None, None])
    return inside.all(1) & (determinant != 0)[:, None, None]


def barycentrics(clip: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
    """Perspective-correct weights of every face at every pixel [F, H, W, 3], unsnapped; negative ones become zero."""
    coefficients = edges(clip[faces][..., [0, 1, 3]])
    centres = pixel_centres(height, width)
    points = torch.cat([centres, torch.ones(height, width, 1, dtype=torch.float64)], -1)
    value = torch.einsum("fec,hwc->fhwe", coefficients, points)
    value = (value * torch.sign(value.sum(-1, keepdim=True))).clamp_min(0)
    total = value.sum(-1, keepdim=True)
    corner = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    return torch.where(total > 0, value / torch.where(total > 0, total, torch.ones_like(total)), corner)


def screen_depth(clip: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
    """z / w of the plane through the snapped vertices [F, H, W], which decides what is nearest."""
    corners = snap(clip, height, width)[faces]
    z = torch.where(clip[:, 3] > 0, clip[:, 2] / clip[:, 3], clip[:, 2])[faces]
    coefficients = edges(corners)
    x, y = torch.meshgrid(torch.arange(width) * 16.0 + 8, torch.arange(height) * 16.0 + 8, indexing="xy")
    points = torch.stack([x, y, torch.ones_like(x)], -1).to(torch.float64)
    value = torch.einsum("fec,hwc->fehw", coefficients, points)
    total = torch.einsum("feh,fe->fh", value.flatten(2), corners[..., 2]).view(-1, height, width)
    return torch.einsum("feh,fe->fh", value.flatten(2), z).view(-1, height, width) / total


def rasterize(clip: Tensor, faces: Tensor, height: int, width: int) -> Raster:
    """As `mfnet.render.rasterize`, for clip [B, V, 4] float64 and small meshes: memory grows as F H W."""
    images = [_rasterize_image(image, faces.long(), height, width) for image in clip.double()]
    return Raster(*(torch.stack(outputs) for outputs in zip(*images, strict=True)))


def _rasterize_image(clip: Tensor, faces: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    if not len(faces):
        empty = torch.zeros(height, width, dtype=torch.float64)
        return empty.int(), empty[..., None].expand(height, width, 3) * clip.sum(), empty
    fixed = clip.detach()
    usable = fixed.isfinite().all(-1)[faces].all(-1)[:, None, None]
    fixed = torch.where(fixed.isfinite(), fixed, torch.ones_like(fixed))
    depth = screen_depth(fixed, faces, height, width)
    drawn = covered(fixed, faces, height, width) & usable & (depth >= -1) & (depth <= 1)
    nearest = torch.where(drawn, depth, torch.full_like(depth, torch.inf)).min(0)
    hit = nearest.values.isfinite()
    chosen = nearest.indices[None, ..., None].expand(1, height, width, 3)
    weights = barycentrics(clip, faces, height, width).gather(0, chosen)[0]
    weights = torch.where(hit[..., None], weights, torch.zeros_like(weights))
    depth = torch.where(hit, nearest.values, torch.zeros_like(nearest.values))
    return torch.where(hit, nearest.indices + 1, 0).int(), weights, depth


def interpolate(attributes: Tensor, raster: Raster, faces: Tensor) -> Tensor:
    """As `mfnet.render.interpolate`: attributes [B, V, C] or [V, C] -> [B, H, W, C]."""
    attributes = attributes.expand(len(raster.face_id), *attributes.shape[-2:])
    corners = faces.long()[(raster.face_id - 1).clamp_min(0).long()]  # [B, H, W, 3]
    values = torch.stack([image[index] for image, index in zip(attributes, corners, strict=True)])
    return (raster.barycentrics[..., None] * values).sum(-2)
