"""Three photographs in, one textured head out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mfnet.flame import Flame
from mfnet.model.mfnet import MFNet
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
def reconstruct(
    model: MFNet, flame: Flame, photos: Tensor, inverse_distance: float = 0.0, texture_size: int = 512
) -> Reconstruction:
    """MFNet on one person's crops, photos [V, 3, H, W] in [0, 1] in slot order (frontal, left, right).

    inverse_distance: assumed of all cameras, 1/m (``loss.camera_distance``). The texture is unwrapped from every view
    by its z-test, fused by facing angle, and its holes are filled.
    """
    prediction = model.eval()(photos[None]).with_inverse_distance(inverse_distance)
    return textured(flame, prediction, photos, texture_size, OUTLINE_MARGIN)


@torch.no_grad()
def textured(
    flame: Flame, prediction: Prediction, photos: Tensor, texture_size: int = 512, margin: float = 0.0
) -> Reconstruction:
    """The head of a prediction for one person in V views, textured from photos [V, 3, H, W].

    margin: how far from the head's outline (ndc) a view's colours are believed (`OUTLINE_MARGIN`); 0: up to it, for
    heads that fit.
    """
    prediction = prediction.per_view()
    heads = decode(flame, prediction)
    vertices, cameras, divisor = heads.vertices[0], heads.cameras[0], heads.divisor[0]
    layout = uv_layout(flame.faces, *flame.uv_map, texture_size)
    meshes = orthographic_view(vertices, flame.faces, cameras, divisor)
    textures, weights = unwrap(photos, meshes, layout)
    if margin > 0:
        weights = weights * inside_outline(meshes, layout, photos.shape[-2], photos.shape[-1], margin)
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
