"""Three photographs in, one textured head out."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet.errors import InputError
from mfnet.geometry import crop_face
from mfnet.io.images import read_photo, to_float
from mfnet.model.projection import ViewParameters, decode
from mfnet.render.texture import face_texture, fuse_views, inside_outline, unwrap, uv_layout
from mfnet.render.view import orthographic_view

OUTLINE_MARGIN = 0.05
"""How far the outline of a found head may lie outside the photographed one, ndc (3 px of 128): twice the standard
deviation of a detected jaw line (`mfnet.fitting.refine`)."""


@dataclass(frozen=True)
class Reconstruction:
    """One person: vertices [V, N, 3] metres, posed as in each view, with their cameras [V, 3] and what perspective
    divides by, `divisor` [V, N]; `neutral` [N, 3] the same head and expression before a frontal camera; `texture`
    [3, T, T] in [0, 1] fused from the views; `known` [T, T]: how squarely a texel was seen (0: filled in)."""

    vertices: Tensor
    cameras: Tensor
    divisor: Tensor
    neutral: Tensor
    texture: Tensor
    known: Tensor


@torch.no_grad()
def reconstruct(model, flame, photos: Tensor, inverse_distance: float = 0.0, texture_size: int = 512) -> Reconstruction:
    """MFNet on one person's crops, photos [V, 3, H, W] in [0, 1] in slot order (frontal, left, right).

    inverse_distance: of the cameras, as `mfnet.model.projection.decode` takes it. The texture is unwrapped from every
    view by its z-test, fused by facing angle, and its holes are filled.
    """
    parameters = ViewParameters.of(model.eval()(photos[None]), 1)
    return textured(flame, parameters, photos, inverse_distance, texture_size, OUTLINE_MARGIN)


@torch.no_grad()
def textured(
    flame,
    parameters: ViewParameters,
    photos: Tensor,
    inverse_distance: Tensor | float = 0.0,
    texture_size: int = 512,
    margin: float = 0.0,
) -> Reconstruction:
    """The head that `parameters` (one person, V views) describe, textured from photos [V, 3, H, W].

    inverse_distance: of the cameras, as `mfnet.model.projection.decode` takes it; margin: how far from the head's
    outline (ndc) a view's colours are believed (`OUTLINE_MARGIN`); 0: up to it, for heads that fit.
    """
    heads = decode(flame, parameters, inverse_distance)
    vertices, cameras, divisor = heads.vertices[0], heads.cameras[0], heads.divisor[0]
    layout = uv_layout(flame.faces, flame.uv, flame.uv_faces, texture_size)
    view = orthographic_view(vertices, flame.faces, cameras, divisor)
    textures, weights = unwrap(photos, view, layout)
    if margin > 0:
        weights = weights * inside_outline(view, layout, *photos.shape[-2:], margin)
    texture, known = fuse_views(textures[None], weights[None])
    shape, expression, jaw = (getattr(parameters, name)[:, 0] for name in ("shape", "expression", "jaw_pose"))
    neutral = flame(shape, expression, torch.zeros_like(jaw), jaw_pose=jaw).vertices[0]
    return Reconstruction(vertices, cameras, divisor, neutral, face_texture(texture, known)[0].clamp(0, 1), known[0])


class Photos(NamedTuple):
    """One person's photographs, cropped."""

    images: Tensor  # [V, 3, S, S] in [0, 1]
    landmarks: Tensor  # [V, 68, 2] ndc of the crops


def crop_photos(paths: list[Path], backend, size: int, crop_scale: float) -> Photos:
    """Photographs as the network wants them: found, cropped to their landmarks, `size` px wide.

    backend: a landmark backend (`mfnet.landmarks.backends`). Raises InputError for a file that is no image or
    shows no face.
    """
    images = [read_photo(path) for path in paths]
    crops = []
    for path, image, found in zip(paths, images, backend.detect([path.name for path in paths], images), strict=True):
        if found.landmarks is None:
            raise InputError(f"{path}: {found.reason or 'no face found'}; use a photograph with one clear face")
        crops.append(crop_face(image, found.landmarks, crop_scale, size))
    pixels = to_float(torch.from_numpy(np.stack([crop.image for crop in crops])).permute(0, 3, 1, 2))
    return Photos(pixels, torch.from_numpy(np.stack([crop.landmarks for crop in crops])).float())
