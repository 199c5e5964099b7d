"""Three photographs in, one textured head out: the network's answer, its texture, and pictures of both."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mfnet.geometry import euler_to_matrix, vertex_normals
from mfnet.losses.heads import ViewParameters, decode
from mfnet.render.cross_view import render_shaded, render_textured
from mfnet.render.shading import C2, C4
from mfnet.render.texture import UVLayout, fill_holes, fuse_views, unwrap, uv_layout
from mfnet.render.view import orthographic_view

CLAY = 0.75
"""Albedo of untextured pictures."""
AMBIENT, LAMP = 0.5, (-0.2, 0.3, 0.55)
"""Their light: from everywhere, and from the upper left before a frontal camera."""


@dataclass(frozen=True)
class Reconstruction:
    """One person: posed vertices [V, N, 3] metres and cameras [V, 3] of each view; `neutral` [1, N, 3] the same head
    with its expression, before a frontal camera; `texture` [3, T, T] in [0, 1] fused from the views; `known` [T, T] how
    squarely a texel was seen (0: filled in)."""

    vertices: Tensor
    cameras: Tensor
    neutral: Tensor
    texture: Tensor
    known: Tensor
    layout: UVLayout

    @cached_property
    def _framed(self) -> Tensor:
        """Camera [1, 3] that shows the whole head, centred."""
        low, high = self.neutral[0].amin(0), self.neutral[0].amax(0)
        centre, extent = (low + high) / 2, (high - low).max()
        return torch.stack([1.8 / extent, -centre[0], -centre[1]])[None]


@torch.no_grad()
def reconstruct(model, flame, photos: Tensor, texture_size: int = 512) -> Reconstruction:
    """MFNet on one person's crops, photos [V, 3, H, W] in [0, 1] in slot order (frontal, left, right).

    The texture is unwrapped from every view by its z-test, fused by facing angle, and its holes are filled.
    """
    return textured(flame, ViewParameters.of(model.eval()(photos[None]), 1), photos, texture_size)


@torch.no_grad()
def textured(flame, parameters: ViewParameters, photos: Tensor, texture_size: int = 512) -> Reconstruction:
    """The head that `parameters` (one person, V views) describe, textured from photos [V, 3, H, W]."""
    heads = decode(flame, parameters)
    vertices, cameras = heads.vertices[0], heads.cameras[0]
    layout = uv_layout(flame.faces, flame.uv, flame.uv_faces, texture_size)
    textures, weights = unwrap(photos, orthographic_view(vertices, flame.faces, cameras), layout)
    texture, known = fuse_views(textures[None], weights[None])
    frontal = torch.zeros_like(parameters.global_pose[:, 0])
    shape, expression, jaw = (getattr(parameters, name)[:, 0] for name in ("shape", "expression", "jaw_pose"))
    neutral = flame(shape, expression, frontal, jaw_pose=jaw).vertices
    return Reconstruction(vertices, cameras, neutral, fill_holes(texture, known)[0], known[0], layout)


@torch.no_grad()
def draw_overlay(person: Reconstruction, photos: Tensor, opacity: float = 0.75) -> Tensor:
    """The clay head over each photograph [V, 3, H, W] -> the same shape."""
    view = orthographic_view(person.vertices, person.layout.faces, person.cameras)
    drawn, raster = _clay(person.vertices, view, person.layout, photos.shape[-1])
    cover = (raster.face_id > 0)[:, None] * opacity
    return drawn * cover + photos * (1 - cover)


@torch.no_grad()
def draw_new_view(person: Reconstruction, yaw: float, size: int, with_texture: bool) -> Tensor:
    """The head turned by `yaw` (degrees) before a frontal camera: [3, size, size] on white."""
    turn = euler_to_matrix(*torch.deg2rad(torch.tensor([yaw, 0.0, 0.0])))
    centre = person.neutral.mean(1, keepdim=True)
    vertices = (person.neutral - centre) @ turn.T + centre
    view = orthographic_view(vertices, person.layout.faces, person._framed)
    if with_texture:
        drawn, raster = render_textured(person.texture[None], view, person.layout, 2 * size, 2 * size)
    else:
        drawn, raster = _clay(vertices, view, person.layout, 2 * size)
    cover = (raster.face_id > 0)[:, None].float()
    return torch.nn.functional.avg_pool2d(drawn * cover + 1 - cover, 2)[0].clamp(0, 1)


def _clay(vertices: Tensor, view, layout: UVLayout, size: int):
    """Untextured heads under light that falls from AMBIENT + LAMP . normal, in the harmonics of order 0 and 1."""
    light = torch.zeros(9)
    light[0], light[1:4] = AMBIENT / C4, torch.tensor(LAMP) / (2 * C2)
    albedo = torch.full((1, 3, 1, 1), CLAY)
    normals = vertex_normals(vertices, layout.faces)
    return render_shaded(albedo, normals, light[None, :, None].expand(len(vertices), 9, 3), view, layout, size, size)
