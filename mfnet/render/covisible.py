"""Eq. 5, MC_ab = MB_ab * MF_b: where a pair of views may be compared in view b. Masks are [B, H, W] bool."""

import torch
from torch import Tensor

from mfnet.render.cross_view import CrossView
from mfnet.render.rasterizer import Raster
from mfnet.render.texture import faces_of, region_of
from mfnet.render.view import pixel_centres


def comparable_faces(faces: Tensor, masks: dict[str, Tensor]) -> Tensor:
    """Faces [F] bool of the facial skin without the mouth and the eyeballs (`flame.masks`): those that eq. 6
    compares."""
    skin = masks["face"]
    for name in ("lips", "mouth", "eyeballs"):
        if name in masks:
            skin = skin & ~masks[name]
    return faces_of(skin, faces)


def landmark_bounds(landmarks: Tensor, seen_a: Tensor, seen_b: Tensor, height: int, width: int) -> Tensor:
    """MB_ab: the box around the landmarks that both views see, drawn in view b.

    landmarks [B, 68, 2]: ndc in view b; seen_a, seen_b [B, 68]: positive where the view sees the landmark. With no
    common landmark the mask is empty.
    """
    common = ((seen_a > 0) & (seen_b > 0))[..., None]
    infinite = torch.full_like(landmarks, torch.inf)
    low = torch.where(common, landmarks, infinite).amin(1)[:, None, None]  # [B, 1, 1, 2]
    high = torch.where(common, landmarks, -infinite).amax(1)[:, None, None]
    centres = pixel_centres(height, width, landmarks)
    return ((centres >= low) & (centres <= high)).all(-1)


def covisible_by_landmarks(
    raster: Raster, comparable: Tensor, landmarks: Tensor, seen_a: Tensor, seen_b: Tensor
) -> Tensor:
    """The paper's covisible mask: `landmark_bounds` times the comparable faces [F] bool that raster (of view b)
    shows."""
    height, width = raster.face_id.shape[1:]
    return landmark_bounds(landmarks, seen_a, seen_b, height, width) & region_of(raster, comparable)


def covisible_by_geometry(cross: CrossView, comparable: Tensor) -> Tensor:
    """The exact covisible mask: pixels of b that show a comparable face [F] bool at a point that a sees, by z-test."""
    return cross.seen & region_of(cross.raster, comparable)
