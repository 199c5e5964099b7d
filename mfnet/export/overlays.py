"""What a fit looks like on its photographs, in one picture."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from mfnet.export.pictures import grid, overlay_head, overlay_points, render_head
from mfnet.geometry import clip_from_orthographic, ndc_to_pixels
from mfnet.model.projection import DecodedHeads, decode

if TYPE_CHECKING:
    from mfnet.api import Face

TILE = 320
"""Side of a tile, pixels."""
WIDE = 1.9
"""Side of a tile over the landmarks' box."""
YAWS = (40.0, 0.0, -40.0)
"""Of the head on its own, degrees."""
FOUND, FITTED = (0, 255, 0), (255, 0, 0)
"""Landmarks: detected in green, the head's in red."""
MOST = 5
"""Photographs shown."""


def overlay_sheet(face: "Face") -> np.ndarray:
    """uint8 [H, W, 3]: the photographs with detected (green) and fitted (red) landmarks; below them with the head laid
    over; below, the textured head and its shape alone from three sides."""
    heads = decode(face.flame, face.prediction)
    columns = [photograph_tiles(face, heads, view, TILE) for view in range(min(MOST, len(face.photographs)))]
    vertices, texture = torch.from_numpy(face.vertices), torch.from_numpy(face.texture).permute(2, 0, 1) / 255
    skin = [render_head(vertices, face.flame, TILE, yaw, texture=texture) for yaw in YAWS]
    clay = [render_head(vertices, face.flame, TILE, yaw) for yaw in YAWS]
    return grid([*map(list, zip(*columns, strict=True)), skin, clay])


def photograph_tiles(face: "Face", heads: DecodedHeads, view: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One photograph [size, size, 3] with landmarks, and with the head; heads: the face's, decoded."""
    photograph, share = face.photographs[view], face.crop_scale / WIDE
    image = photograph.wide(WIDE, size)
    found, fitted = torch.from_numpy(photograph.crop.landmarks).float(), heads.landmarks[0, view]
    marked = image
    for points, colour, radius in ((found, FOUND, 2), (fitted, FITTED, 1)):
        marked = overlay_points(marked, ndc_to_pixels(share * points, size, size).numpy(), colour, radius)
    vertices, divisor = heads.vertices[0, view], heads.divisor[0, view]
    camera = heads.cameras[0, view] * torch.tensor([share, 1, 1])
    clip = clip_from_orthographic(vertices[None], camera[None], divisor[None])[0]
    return marked, overlay_head(image, vertices, clip, face.flame, 0.6)
