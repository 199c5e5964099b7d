"""Pairs of what an estimate looks like and the photograph it should match, with the exact optical flow between them.

Two kinds: the estimate drawn with the person's skin, and, as the losses draw it, with another photograph's pixels.
"""

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
from mfnet.io.images import to_float, to_uint8
from mfnet.render import (
    Raster,
    comparable_faces,
    covisible_by_geometry,
    interpolate,
    orthographic_view,
    rasterize,
    render_cross_view,
)
from mfnet.render.view import pixel_centres, sample_image, seen_at, surface_map
from mfnet.synthetic.degrade import degrade
from mfnet.synthetic.photo import develop, draw, not_hidden
from mfnet.synthetic.sampler import Lens, PosedHeads, Sampler, exposure, flashes_in_views, random_photo_light, tensor


class FlowPairs(NamedTuple):
    """N pairs of images, size x size."""

    first: Tensor  # [N, 3, H, W] uint8: the estimate, drawn on black or over the photograph
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
    in_front = _in_front(target, carried[..., 8], faces, clip_to, depth_to, size)
    valid = (head & (ndc.abs() < 1).all(-1) & in_front)[:, None]
    return flow.permute(0, 3, 1, 2) * valid, valid


def _in_front(target: Tensor, towards: Tensor, faces: Tensor, clip: Tensor, depths: Tensor, size: int) -> Tensor:
    """Whether points at target [B, H, W, 2] (pixels), towards [B, H, W] (metres), are not hidden by drawn heads.

    clip [B, V, 4], depths [B, V]: the heads' vertices in the drawing, size x size pixels; metres towards the camera.
    """
    surface = surface_map(clip, -depths, faces, (size, size))[..., 0]
    return not_hidden(-surface, target, towards)


@torch.no_grad()
def sample_cross_pairs(sampler: Sampler, rng: np.random.Generator, count: int) -> FlowPairs:
    """Two photographs of random people, one of them frontal, and I_{a->b} of disturbed parameters over the second one.

    Disturbed as in `sample_flow_pairs`, the person alike in both views, each view's pose and camera by itself. Half of
    the people stand in one flash in both photographs. In a quarter of the pairs both images are cut out by what both
    photographs show, as eq. 6 has it. The flow leads from where the estimate puts a piece of skin to where it lies.
    """
    flame, size = sampler.flame, sampler.size
    yaws = np.stack([rng.uniform(-10, 10, count), rng.uniform(10, 90, count) * rng.choice([-1.0, 1.0], count)], 1)
    yaws = np.where(rng.random((count, 1)) < 0.5, yaws, yaws[:, ::-1])
    heads = sampler.random_heads(rng, torch.from_numpy(yaws.copy()))
    lens = sampler.random_lens(rng, heads.out)
    light = _flashes(rng, heads.global_pose, count)
    textures = sampler.random_textures(rng, count).repeat_interleave(2, 0)
    images, _ = sampler.photograph(rng, heads.out, lens, textures, light)
    estimate, camera = _disturbed(sampler, rng, heads, lens)
    photos = images.unflatten(0, (-1, 2))
    view_a, view_b = (orthographic_view(estimate[v::2], flame.faces, camera[v::2]) for v in (0, 1))
    cross = render_cross_view(to_float(photos[:, 0]), view_a, view_b, flame.faces, size, size)
    compared = covisible_by_geometry(cross, comparable_faces(flame.faces, flame.masks))
    flow, shown = _true_flow(flame.faces, cross.source, heads.out.vertices, lens.clip(heads.out.vertices), size)
    valid = (compared & shown)[:, None]
    second = photos[:, 1]
    first = torch.where(cross.seen[:, None], to_uint8(cross.image), second)
    cut = torch.from_numpy(rng.random(count) < 0.25)[:, None, None, None] & ~compared[:, None]
    return FlowPairs(first.masked_fill(cut, 0), second.masked_fill(cut, 0), flow * valid, valid)


def _true_flow(faces: Tensor, source: Tensor, vertices: Tensor, clip: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Flow [B, 2, H, W] (pixels) from each pixel of view b to where the skin shown there truly lies in view b.

    source [B, H, W, 2]: ndc in view a of what the pixel shows; vertices [2 B, V, 3] and clip [2 B, V, 4]: the true
    heads, a and b in turn. Also whether that place is known, inside the image and not hidden: bool [B, H, W].
    """
    depth_a, depth_b = vertices[0::2, :, 2], vertices[1::2, :, 2]
    clip_a, clip_b = clip[0::2], clip[1::2]
    raster = rasterize(clip_a, faces, size, size)
    target, depth, whole = _follow(source, raster, faces, depth_a, clip_b, depth_b)
    pixels = ndc_to_pixels(target, size, size)
    in_front = _in_front(pixels, depth, faces, clip_b, depth_b, size)
    flow = pixels - ndc_to_pixels(pixel_centres(size, size, pixels), size, size)
    return flow.permute(0, 3, 1, 2), whole & (target.abs() < 1).all(-1) & in_front


def _follow(
    source: Tensor, raster: Raster, faces: Tensor, depth_a: Tensor, clip_b: Tensor, depth_b: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Where the skin that view a shows at source [B, H, W, 2] (ndc) lies in view b -> ndc, depth [B, H, W], certainty.

    raster: the heads in view a; depth_a, depth_b [B, V] metres towards the cameras; clip_b [B, V, 4]. Not certain where
    the pixels around the source show no unbroken piece of surface.
    """
    head = raster.face_id > 0
    carried = interpolate(torch.cat([clip_b, depth_b[..., None], depth_a[..., None]], -1), raster, faces)
    ndc = carried[..., :2] / torch.where(head, carried[..., 3], torch.ones_like(carried[..., 3]))[..., None]
    shown = sample_image(torch.cat([ndc, carried[..., 4:]], -1).permute(0, 3, 1, 2).contiguous(), source)
    surface = torch.where(head, -carried[..., 5], torch.inf)[..., None]
    whole = seen_at(surface, source, -shown[:, 3, ..., None])
    return shown[:, :2].permute(0, 2, 3, 1), shown[:, 2], whole


def _flashes(rng: np.random.Generator, pose: Tensor, count: int) -> Tensor:
    """Lights [2 count, 9, 3] in view axes: one flash for both views of half of the people, else each its own."""
    one = np.stack([random_photo_light(rng) for _ in range(count)])
    own = tensor(np.stack([random_photo_light(rng) for _ in range(2 * count)]))
    same = torch.from_numpy(rng.random(count) < 0.5).repeat_interleave(2)
    return torch.where(same[:, None, None], flashes_in_views(one, pose), own)


def _disturbed(sampler: Sampler, rng: np.random.Generator, heads: PosedHeads, lens: Lens) -> tuple[Tensor, Tensor]:
    """Vertices [B, V, 3] (view axes) and scaled orthography [B, 3] of a wrong estimate of the heads."""
    person, people = heads.person, len(heads.person.shape)
    views = len(heads.global_pose) // people
    amount = tensor(rng.uniform(0.1, 1.1, (people, 1)) * (rng.random((people, 1)) >= 0.125))

    def noise(width: int, rows: int = people) -> Tensor:
        return amount.repeat_interleave(rows // people, 0) * tensor(rng.standard_normal((rows, width)))

    def each(values: Tensor) -> Tensor:
        return values.repeat_interleave(views, 0)

    total = people * views
    turn = axis_angle_to_matrix(np.radians(3.0) * noise(3, total)) @ axis_angle_to_matrix(heads.global_pose)
    jaw = person.jaw_pose + np.radians(1.5) * noise(3) * torch.tensor([1.0, 0.0, 0.0])
    shape = person.shape + 0.5 * noise(person.shape.shape[1])
    expression = person.expression + 0.4 * sampler.expression_scale * noise(person.expression.shape[1])
    out = sampler.flame(each(shape), each(expression), matrix_to_axis_angle(turn), jaw_pose=each(jaw))
    camera = sampler.fit_camera(heads.out, lens)
    scale = camera[:, :1] * (1 + 0.02 * noise(1, total))
    return out.vertices, torch.cat([scale, camera[:, 1:] + 0.0015 * noise(2, total)], 1)


def _render(
    sampler: Sampler,
    rng: np.random.Generator,
    clip: Tensor,
    vertices: Tensor,
    textures: Tensor,
    light: Tensor,
    kept: Tensor,
) -> Tensor:
    """The estimate on black [B, 3, size, size] uint8; kept [B, V]: 0 for vertices that are left black."""
    flame, factor = sampler.flame, sampler.crop.supersample
    side = factor * sampler.size
    normals = vertex_normals(vertices, flame.faces)
    drawing = draw(flame, clip, vertices[..., 2], textures, normals, (side, side))
    shown = interpolate(kept[..., None], drawing.raster, flame.faces).permute(0, 3, 1, 2)
    colour, cover = develop(drawing._replace(albedo=drawing.albedo * (shown > 0.5)), light[:, None], factor)
    images = (colour[:, 0] * exposure(colour[:, 0], cover)).clamp(0, 1)
    return to_uint8(degrade(rng, images) * (images > 0))
