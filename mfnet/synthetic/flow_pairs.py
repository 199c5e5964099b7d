"""Pairs of a rendered estimate and the photograph it should match, with the exact optical flow between them."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet.geometry import (
    axis_angle_to_matrix,
    clip_from_orthographic,
    matrix_to_axis_angle,
    ndc_to_pixels,
    vertex_normals,
)
from mfnet.render import interpolate, rasterize
from mfnet.synthetic.degrade import degrade
from mfnet.synthetic.photo import BEHIND, develop, draw
from mfnet.synthetic.sampler import Heads, Lens, Sampler, exposure, random_photo_light, tensor

VISIBLE = 0.004
"""A point is hidden when it lies this far (metres) behind the nearest surface."""


class FlowPairs(NamedTuple):
    """N pairs of images, size x size."""

    first: Tensor  # [N, 3, H, W] uint8: the estimate, rendered on black
    second: Tensor  # [N, 3, H, W] uint8: the photograph
    flow: Tensor  # [N, 2, H, W] pixels (x right, y down) from first to second; zero where not valid
    valid: Tensor  # [N, 1, H, W] bool: the pixel lies on the head and what it shows is visible in the photograph


@torch.no_grad()
def sample_flow_pairs(sampler: Sampler, rng: np.random.Generator, count: int) -> FlowPairs:
    """Photographs of random heads, and renders of disturbed parameters with the same skin in another light.

    One pair in eight is undisturbed; the others are disturbed by about as much as a network still errs, in
    shape, expression, pose and camera. Half of the renders show the face region only, as eq. 3 masks them.
    """
    flame, size = sampler.flame, sampler.size
    heads = sampler.random_heads(rng, torch.from_numpy(rng.uniform(-90, 90, (count, 1))))
    lens = sampler.random_lens(rng, heads.out)
    textures = sampler.random_textures(rng, count)
    light = tensor(np.stack([random_photo_light(rng) for _ in range(count)]))
    second, _ = sampler.photograph(rng, heads.out, lens, textures, light)
    vertices, camera = _disturbed(sampler, rng, heads, lens)
    clip = clip_from_orthographic(vertices, camera)
    other = tensor(np.stack([random_photo_light(rng) for _ in range(count)]))
    kept = torch.where(
        torch.from_numpy(rng.random((count, 1)) < 0.5),
        flame.masks["face"].float(),
        torch.ones(len(flame.weights)),
    )
    first = _render(sampler, rng, clip, vertices, textures, other, kept)
    flow, valid = exact_flow(flame.faces, clip, lens.clip(heads.out.vertices), heads.out.vertices[..., 2], size)
    shown = interpolate(kept[..., None], rasterize(clip, flame.faces, size, size), flame.faces).permute(0, 3, 1, 2)
    valid = valid & (shown > 0.5)
    return FlowPairs(first, second, flow * valid, valid)


def exact_flow(faces: Tensor, clip_from: Tensor, clip_to: Tensor, depth_to: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Flow [B, 2, size, size] (pixels) between two drawings of one mesh, and where it is valid [B, 1, size, size].

    clip_from, clip_to [B, V, 4]: the vertices in both images; depth_to [B, V]: metres towards the second camera.
    Valid: on the head in the first image; inside the second one and not hidden there.
    """
    first = rasterize(clip_from, faces, size, size)
    carried = interpolate(torch.cat([clip_to, clip_from, depth_to[..., None]], -1), first, faces)
    head = first.face_id > 0
    carried = torch.where(head[..., None], carried, torch.ones_like(carried))
    ndc, origin = carried[..., :2] / carried[..., 3:4], carried[..., 4:6] / carried[..., 7:8]
    target = ndc_to_pixels(ndc, size, size)
    flow = target - ndc_to_pixels(origin, size, size)  # from where the point lies: its pixel's centre, but for slivers
    second = rasterize(clip_to, faces, size, size)
    surface = interpolate(depth_to[..., None], second, faces)[..., 0]
    surface = torch.where(second.face_id > 0, surface, torch.full_like(surface, BEHIND))
    farthest = -torch.nn.functional.max_pool2d(-surface[:, None], 3, 1, 1)[:, 0]
    column, row = target.floor().long().clamp(0, size - 1).unbind(-1)
    in_front = carried[..., 8] >= farthest.flatten(1).gather(1, (row * size + column).flatten(1)).view_as(row) - VISIBLE
    valid = (head & (ndc.abs() < 1).all(-1) & in_front)[:, None]
    return flow.permute(0, 3, 1, 2) * valid, valid


def _disturbed(sampler: Sampler, rng: np.random.Generator, heads: Heads, lens: Lens) -> tuple[Tensor, Tensor]:
    """Vertices [B, V, 3] (view axes) and scaled orthography [B, 3] of a wrong estimate of the heads."""
    count = len(heads.shape)
    amount = tensor(rng.uniform(0.1, 1.1, (count, 1)) * (rng.random((count, 1)) >= 0.125))

    def noise(width: int) -> Tensor:
        return amount * tensor(rng.standard_normal((count, width)))

    turn = axis_angle_to_matrix(np.radians(3.0) * noise(3)) @ axis_angle_to_matrix(heads.global_pose)
    jaw = heads.jaw_pose + np.radians(1.5) * noise(3) * torch.tensor([1.0, 0.0, 0.0])
    shape = heads.shape + 0.5 * noise(heads.shape.shape[1])
    expression = heads.expression + 0.4 * sampler.expression_scale * noise(heads.expression.shape[1])
    out = sampler.flame(shape, expression, matrix_to_axis_angle(turn), jaw_pose=jaw)
    camera = sampler.fit_camera(heads.out, lens)
    scale = camera[:, :1] * (1 + 0.02 * noise(1))
    return out.vertices, torch.cat([scale, camera[:, 1:] + 0.0015 * noise(2)], 1)


def _render(sampler, rng, clip: Tensor, vertices: Tensor, textures: Tensor, light: Tensor, kept: Tensor) -> Tensor:
    """The estimate on black [B, 3, size, size] uint8; kept [B, V]: 0 for vertices that are left black."""
    flame, factor = sampler.flame, sampler.options.supersample
    side = factor * sampler.size
    normals = vertex_normals(vertices, flame.faces)
    drawing = draw(flame, clip, vertices[..., 2], textures, normals, side, side)
    shown = interpolate(kept[..., None], drawing.raster, flame.faces).permute(0, 3, 1, 2)
    colour, cover = develop(drawing._replace(albedo=drawing.albedo * (shown > 0.5)), light[:, None], factor)
    images = (colour[:, 0] * exposure(colour[:, 0], cover)).clamp(0, 1)
    return (degrade(rng, images) * (images > 0) * 255 + 0.5).to(torch.uint8)
