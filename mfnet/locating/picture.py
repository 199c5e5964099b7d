"""What was found on a head, in one picture."""

import numpy as np
import torch

from mfnet.export.pictures import grid, overlay_head, overlay_points
from mfnet.flame import Flame
from mfnet.geometry import clip_from_orthographic, ndc_to_pixels, vertex_normals

TILE = 480
"""Side of a tile, pixels."""
YAWS = (0.0, -35.0, -70.0)
"""Degrees."""
FILL = 0.72
"""Height of the 68 points in a tile."""
DENSE, SPARSE = (0, 130, 0), (230, 0, 0)
"""The 478 points in green, the 68 in red."""
FACING = 0.1
"""Cosine from which a point is drawn."""


@torch.no_grad()
def embedding_picture(flame: Flame) -> np.ndarray:
    """uint8 [H, W, 3]: the mean head from three sides with its 478 points (where it has them) and its 68."""
    zeros = [torch.zeros(1, count) for count in (flame.n_shape, flame.n_expression)]
    tiles = []
    for yaw in YAWS:
        pose = torch.tensor([[0.0, np.radians(yaw), 0.0]])
        out = flame(*zeros, pose)
        vertices = out.vertices[0]
        low, high = out.landmarks[0].amin(0), out.landmarks[0].amax(0)
        scale = 2 * FILL / (high - low)[1]
        camera = torch.cat([scale[None], -(low + high)[:2] / 2])
        clip = clip_from_orthographic(vertices[None], camera[None])
        image = overlay_head(np.full((TILE, TILE, 3), 255, np.uint8), vertices, clip[0], flame, 1.0)
        normals = vertex_normals(vertices[None], flame.faces)[0]
        shown = [(out.landmarks[0], SPARSE, 3)]
        if flame.dense is not None:
            corners, weights = flame.dense_corners, flame.dense_weights[..., None]
            facing = (normals[corners] * weights).sum(1)[:, 2] > FACING
            shown.insert(0, ((vertices[corners] * weights).sum(1)[facing], DENSE, 2))
        for points, colour, radius in shown:
            places = ndc_to_pixels(scale * (points[:, :2] + camera[1:]), TILE, TILE).numpy()
            image = overlay_points(image, places, colour, radius)
        tiles.append(image)
    return grid([tiles])
