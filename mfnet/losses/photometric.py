"""Beyond the paper: the head with its albedo under the predicted light (eq. 2 and 4) against the photograph."""

import numpy as np
import torch
from torch import Tensor

from mfnet.flame import Flame
from mfnet.flame.texture_space import TextureSpace
from mfnet.geometry import vertex_normals
from mfnet.losses.landmarks import weighted_mean
from mfnet.model.parameters import View
from mfnet.model.projection import DecodedHeads
from mfnet.render import comparable_faces, orthographic_view, region_of, render_shaded, uv_layout

TEXELS = 64
"""Side of the albedo texture: albedo codes are smooth, and detail is the flow's matter."""
SKIN = (0.62, 0.46, 0.38)
"""Mean albedo, RGB, of the smooth texture space."""
SPREAD = 0.1
"""Standard deviation of the smooth texture space's coarsest direction; finer ones fall off with their frequency."""


def photometric_loss(photo: Tensor, render: Tensor, mask: Tensor) -> Tensor:
    """Masked mean over pixels and colours of |I - I_r|: photo, render [B, 3, H, W] in [0, 1], mask [B, H, W] in [0,
    1]."""
    return weighted_mean((photo - render).abs().mean(1), mask)


class Photometric:
    """The photometric term of one head model and one space of albedo textures."""

    def __init__(self, flame: Flame, space: TextureSpace) -> None:
        """Raises InputError for a head model without UV."""
        self.flame, self.space = flame, space
        self.layout = uv_layout(flame.faces, *flame.uv_map, TEXELS)
        self.skin = comparable_faces(flame.faces, flame.masks)

    def __call__(self, heads: DecodedHeads, views: View, photos: Tensor) -> Tensor:
        """Mean over the facial skin, without mouth and eyes, of all views; photos [B, V, 3, H, W] in [0, 1].

        views: albedo codes and lights of the heads.
        """
        vertices, albedo = heads.vertices.flatten(0, 1), self.space(views.albedo.flatten(0, 1))
        mesh = orthographic_view(vertices, self.flame.faces, heads.cameras.flatten(0, 1), heads.divisor.flatten(0, 1))
        normals = vertex_normals(vertices, self.flame.faces)
        light = views.light.flatten(0, 1)
        size = photos.shape[-2], photos.shape[-1]
        render, raster = render_shaded(albedo, normals, light, mesh, self.layout, size)
        mask = region_of(raster, self.skin).to(render.dtype)
        return photometric_loss(photos.flatten(0, 1), render, mask)


def smooth_texture_space(count: int, size: int = TEXELS) -> TextureSpace:
    """A texture space for heads that have none: an even skin plus `count` cosine patterns, from coarse to fine.

    Direction i is the (i // 3)-th two-dimensional cosine, ordered by frequency, in one of three opponent colours: all
    three alike (brightness), red against green and blue, blue against red and green.
    """
    colours = torch.tensor([[1.0, 1.0, 1.0], [1.0, -0.5, -0.5], [-0.5, -0.5, 1.0]])
    steps = (torch.arange(size) + 0.5) / size
    side = int(np.ceil(np.sqrt(count))) + 1
    waves = sorted(((u, v) for u in range(side) for v in range(side)), key=lambda uv: (uv[0] ** 2 + uv[1] ** 2, uv))
    directions = []
    for index in range(count):
        u, v = waves[index // 3]
        pattern = torch.outer(torch.cos(torch.pi * v * steps), torch.cos(torch.pi * u * steps))
        directions.append(SPREAD / (1 + u**2 + v**2) ** 0.5 * colours[index % 3][:, None, None] * pattern)
    mean = torch.tensor(SKIN)[:, None, None].expand(3, size, size)
    return TextureSpace(mean.contiguous(), torch.stack(directions))
