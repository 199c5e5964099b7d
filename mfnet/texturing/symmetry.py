"""The other half of a face in its texture: where each texel's mirror image lies, for heads of symmetric topology."""

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from mfnet.flame import Flame
from mfnet.render.texture import UVLayout

ALIKE = 0.004
"""Metres within which a vertex lies from the mirror image of its counterpart."""


def mirrored_uv(flame: Flame, layout: UVLayout) -> Tensor:
    """[T, T, 2] uv of the mirror image of each texel; NaN where the head has none, and off the head."""
    corners = torch.from_numpy(_mirrored_corners(flame, layout)).to(layout.uv)  # [F, 3, 2]
    face = layout.raster.face_id[0].long()
    uv = (corners[(face - 1).clamp_min(0)] * layout.raster.barycentrics[0][..., None]).sum(-2)
    return torch.where((face > 0)[..., None], uv, torch.full_like(uv, torch.nan))


def _mirrored_corners(flame: Flame, layout: UVLayout) -> np.ndarray:
    """[F, 3, 2] uv of the mirror image of each face's corners; NaN for faces without one."""
    faces, uv, uv_faces = (part.cpu().numpy() for part in (layout.faces, layout.uv, layout.uv_faces))
    counterpart = mirrored_vertices(flame)
    images = counterpart[faces]  # [F, 3]
    known = {tuple(sorted(face)): row for row, face in enumerate(faces.tolist())}
    partner = np.array([known.get(tuple(sorted(image)), -1) for image in images.tolist()])
    order = (faces[partner][:, None, :] == images[:, :, None]).argmax(2)  # corner of the partner for each corner
    corners = uv[np.take_along_axis(uv_faces[partner], order, 1)]
    missing = (partner < 0) | (images < 0).any(1)
    return np.where(missing[:, None, None], np.nan, corners)


def mirrored_vertices(flame: Flame) -> np.ndarray:
    """[N] the vertex at each vertex's place in a mirror, on the mean head; -1 where there is none."""
    rest = (torch.zeros(1, count, device=flame.faces.device) for count in (flame.n_shape, flame.n_expression, 3))
    vertices = flame(*rest).vertices[0].double().cpu().numpy()
    distance, nearest = KDTree(vertices).query(vertices * [-1, 1, 1])
    mutual = nearest[nearest] == np.arange(len(vertices))  # pyright: ignore[reportIndexIssue]
    return np.where(mutual & (distance < ALIKE), nearest, -1)
