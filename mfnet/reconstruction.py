"""Three photographs in, one textured head out."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet.errors import InputError
from mfnet.losses.heads import ViewParameters, decode
from mfnet.render.texture import fill_holes, fuse_views, unwrap, uv_layout
from mfnet.render.view import orthographic_view


@dataclass(frozen=True)
class Reconstruction:
    """One person: vertices [V, N, 3] metres, posed as in each view, with their cameras [V, 3]; `neutral` [N, 3] the
    same head and expression before a frontal camera; `texture` [3, T, T] in [0, 1] fused from the views; `known`
    [T, T]: how squarely a texel was seen (0: filled in)."""

    vertices: Tensor
    cameras: Tensor
    neutral: Tensor
    texture: Tensor
    known: Tensor


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
    shape, expression, jaw = (getattr(parameters, name)[:, 0] for name in ("shape", "expression", "jaw_pose"))
    neutral = flame(shape, expression, torch.zeros_like(jaw), jaw_pose=jaw).vertices[0]
    return Reconstruction(vertices, cameras, neutral, fill_holes(texture, known)[0], known[0])


class Photos(NamedTuple):
    """One person's photographs, cropped."""

    images: Tensor  # [V, 3, S, S] in [0, 1]
    landmarks: Tensor  # [V, 68, 2] ndc of the crops


def crop_photos(paths: list[Path], backend, size: int, crop_scale: float) -> Photos:
    """Photographs as the network wants them: found, cropped to their landmarks, `size` px wide.

    backend: a landmark backend (`mfnet.datasets.landmark_backends`). Raises InputError for a file that is no image or
    shows no face.
    """
    from PIL import Image, UnidentifiedImageError

    from mfnet.geometry import crop_box, crop_image, crop_matrix, pixels_to_ndc, transform_points

    images = []
    for path in paths:
        try:
            images.append(np.asarray(Image.open(path).convert("RGB")))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except (OSError, UnidentifiedImageError) as error:
            raise InputError(f"{path}: not a readable image: {error}") from None
    crops, landmarks = [], []
    for path, image, found in zip(paths, images, backend.detect([path.name for path in paths], images), strict=True):
        if found.landmarks is None:
            raise InputError(f"{path}: {found.reason or 'no face found'}; use a photograph with one clear face")
        box = crop_box(found.landmarks, crop_scale)
        crops.append(crop_image(image, box, size))
        landmarks.append(transform_points(found.landmarks.astype(np.float64), crop_matrix(box, size)))
    pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    return Photos(pixels, pixels_to_ndc(torch.from_numpy(np.stack(landmarks)).float(), size, size))
