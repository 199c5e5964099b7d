"""Does what lies behind lips and lids show through them? Measured by drawing: an inner part may be seen through its
opening alone.

The opening is a loop of the skin, closed by a fan: where it turns into the mouth's inside, or the lids' front edges.
A pixel that shows a tooth, the tongue or an eyeball where the fan is not drawn is pierced skin.
"""

import numpy as np
import torch
from torch.nn.functional import max_pool2d

from mfnet.geometry import clip_from_orthographic, euler_to_matrix
from mfnet.render import rasterize
from scripts.makehuman.mesh import HeadMesh
from scripts.makehuman.rings import lid_ring, opening

PIXEL = 0.00025
"""Side of a pixel on the head, metres."""
SIZE = 320
VIEWS = ((0.0, 0.0), (35.0, 0.0), (0.0, 25.0))
"""Yaw and pitch, degrees; the other side is an image of this one."""
SHOWN = {"mouth": ("upper_teeth", "lower_teeth", "tongue"), "eye": ("eye",)}


def pierced(mesh: HeadMesh, vertices: np.ndarray, where: str) -> float:
    """Square millimetres of inner parts that show through the skin of `where` (`mouth`, or `eye`: the left one).

    vertices [V, 3] metres; the worst of `VIEWS`.
    """
    eye = where == "eye"
    loop = lid_ring(mesh) if eye else opening(mesh, "mouth_inside")
    points = torch.from_numpy(np.concatenate([vertices, vertices[np.unique(loop)].mean(0, keepdims=True)])).float()
    fan = torch.from_numpy(np.c_[loop, np.full(len(loop), len(vertices))])
    faces = torch.from_numpy(mesh.faces)
    shown = torch.from_numpy(np.isin(mesh.room, SHOWN[where]))
    return max(_area(points, faces, fan, shown, yaw, pitch) for yaw, pitch in VIEWS)


def _area(
    points: torch.Tensor, faces: torch.Tensor, fan: torch.Tensor, shown: torch.Tensor, yaw: float, pitch: float
) -> float:
    angles = [torch.tensor(angle).deg2rad() for angle in (yaw, pitch, 0.0)]
    turned = points @ euler_to_matrix(*angles).T
    camera = torch.cat([torch.tensor([2 / (SIZE * PIXEL)]), -turned[-1, :2]])
    clip = clip_from_orthographic(turned[None], camera[None])
    seen = rasterize(clip, faces, SIZE, SIZE).face_id[0]
    inner = (seen > 0) & shown[(seen - 1).clamp_min(0)]
    through = (rasterize(clip, torch.cat([fan, fan.flip(1)]), SIZE, SIZE).face_id > 0).float()
    through = max_pool2d(through[None], 5, 1, 2)[0, 0] > 0  # the loop's own pixels and their neighbours
    return float((inner & ~through).sum()) * (1e3 * PIXEL) ** 2
