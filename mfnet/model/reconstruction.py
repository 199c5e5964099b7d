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
from mfnet.model.parameters import Prediction
from mfnet.model.projection import decode
from mfnet.render.texture import face_texture, fuse_views, inside_outline, unwrap, uv_layout
from mfnet.render.view import orthographic_view

OUTLINE_MARGIN = 0.05
"""How far the outline of a fitted head may lie outside the photographed one, ndc (3 px of 128): twice the standard
deviation of a detected jaw line (`mfnet.fitting.refine`)."""


@dataclass(frozen=True)
class Reconstruction:
    """One textured person, in the V views that the texture comes from and in canonical pose."""

    vertices: Tensor
    """[V, N, 3] posed as in each view, metres."""
    cameras: Tensor
    """[V, 3] scaled orthography, as `View.camera`."""
    divisor: Tensor
    """[V, N] `perspective_divisor` of every vertex."""
    canonical: Tensor
    """[N, 3] the head unrotated, with its expression, metres."""
    texture: Tensor
    """[3, T, T] in [0, 1], fused from the views."""
    confidence: Tensor
    """[T, T] how squarely the views show a texel, in [0, 1]; 0: filled in."""


@torch.no_grad()
def reconstruct(model, flame, photos: Tensor, inverse_distance: float = 0.0, texture_size: int = 512) -> Reconstruction:
    """MFNet on one person's crops, photos [V, 3, H, W] in [0, 1] in slot order (frontal, left, right).

    inverse_distance: assumed of all cameras, 1/m (``loss.camera_distance``). The texture is unwrapped from every view
    by its z-test, fused by facing angle, and its holes are filled.
    """
    prediction = model.eval()(photos[None]).with_inverse_distance(inverse_distance)
    return textured(flame, prediction, photos, texture_size, OUTLINE_MARGIN)


@torch.no_grad()
def textured(
    flame, prediction: Prediction, photos: Tensor, texture_size: int = 512, margin: float = 0.0
) -> Reconstruction:
    """The head of a prediction for one person in V views, textured from photos [V, 3, H, W].

    margin: how far from the head's outline (ndc) a view's colours are believed (`OUTLINE_MARGIN`); 0: up to it, for
    heads that fit.
    """
    prediction = prediction.per_view()
    heads = decode(flame, prediction)
    vertices, cameras, divisor = heads.vertices[0], heads.cameras[0], heads.divisor[0]
    layout = uv_layout(flame.faces, flame.uv, flame.uv_faces, texture_size)
    meshes = orthographic_view(vertices, flame.faces, cameras, divisor)
    textures, weights = unwrap(photos, meshes, layout)
    if margin > 0:
        weights = weights * inside_outline(meshes, layout, *photos.shape[-2:], margin)
    texture, confidence = fuse_views(textures[None], weights[None])
    person = prediction.person.map(lambda code: code[:, 0])
    canonical = flame(
        person.shape, person.expression, torch.zeros_like(person.jaw_pose), jaw_pose=person.jaw_pose
    ).vertices[0]
    return Reconstruction(
        vertices=vertices,
        cameras=cameras,
        divisor=divisor,
        canonical=canonical,
        texture=face_texture(texture, confidence)[0].clamp(0, 1),
        confidence=confidence[0],
    )


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
    detections = backend.detect([path.name for path in paths], images)
    for path, image, detection in zip(paths, images, detections, strict=True):
        if detection.landmarks is None:
            raise InputError(f"{path}: {detection.reason or 'no face found'}; use a photograph with one clear face")
        crops.append(crop_face(image, detection.landmarks, crop_scale, size))
    pixels = to_float(torch.from_numpy(np.stack([crop.image for crop in crops])).permute(0, 3, 1, 2))
    return Photos(pixels, torch.from_numpy(np.stack([crop.landmarks for crop in crops])).float())
