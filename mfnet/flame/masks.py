"""Regions of the head as vertex masks: FLAME's own file, or derived from the landmarks where it is absent."""

from pathlib import Path

import numpy as np

from mfnet.errors import InputError, fail
from mfnet.flame.head import HeadArrays
from mfnet.landmarks.ibug import LEFT_EYE, RIGHT_EYE

REGIONS = ("face", "eyes", "eyeballs", "lips", "neck")
"""Always there when any mask is. face: frontal skin from jaw line to forehead, lips and lids included, eyeballs not;
eyes: lids and eyeballs; neck: below jaw and nape."""
_LIPS = range(48, 60)
_JAW, _BROWS = range(17), range(17, 27)
_CHIN, _NOSE_TIP = 8, 33
_FOREHEAD = 0.8  # height of the forehead over the brows, in heights from nose tip to brows
_EYE_MARGIN, _LIP_MARGIN = 1.5, 1.1  # polygons grow by these factors about their centres
_DEPTH = 0.02  # metres that a region may lie behind its landmarks: keeps the mouth's inside out
_NAPE_SLOPE = 0.35  # the neck's upper border rises by this from the chin backwards


def masks_from_fields(fields: dict, count: int, path: str | Path) -> dict[str, np.ndarray]:
    """Masks bool [V] from FLAME_masks.pkl's form: region name -> vertex indices, or -> bool [V].

    FLAME's `left_/right_` and `eye_region` parts are joined into this project's `eyes` and `eyeballs`; all others keep
    their names. Raises InputError naming `path` and the region.
    """
    masks = {name: _mask(value, name, count, path) for name, value in sorted(fields.items())}
    for ours, theirs in (
        ("eyeballs", ("left_eyeball", "right_eyeball")),
        ("eyes", ("eye_region", "left_eye_region", "right_eye_region", "eyeballs")),
    ):
        parts = [masks[name] for name in theirs if name in masks]
        if ours not in masks and parts:
            masks[ours] = np.logical_or.reduce(parts)
    missing = [name for name in REGIONS if name not in masks]
    if missing:
        raise InputError(f"{path}: has no region '{missing[0]}'; give FLAME_masks.pkl or leave the masks out")
    return masks


def derive_masks(head: HeadArrays) -> dict[str, np.ndarray]:
    """The `REGIONS` of a head from its frontal landmarks and skinning weights; none without landmarks."""
    if head.landmarks is None:
        return {}
    corners = head.v_template[head.faces[head.landmarks.full_faces]]  # [68, 3, 3]
    points = (corners * head.landmarks.full_weights[..., None]).sum(1)
    y, z = head.v_template[:, 1:].T
    eyeballs = head.weights[:, 3:].sum(1) > 0.5
    front = _normals(head)[:, 2] > 0
    brows = points[_BROWS]
    rise = _FOREHEAD * (brows[:, 1].mean() - points[_NOSE_TIP, 1])
    forehead = brows + np.array([0, rise, 0])
    outline = np.concatenate([points[_JAW], forehead[::-1]])
    face = inside_polygon(head.v_template[:, :2], outline[:, :2]) & front & ~eyeballs & (z > points[_JAW, 2].min())
    eyes = eyeballs.copy()
    for eye in (LEFT_EYE, RIGHT_EYE):
        eyes |= _region(head.v_template, points[eye], _EYE_MARGIN) & front
    chin = points[_CHIN]
    border = np.minimum(chin[1] + _NAPE_SLOPE * (chin[2] - z), points[_NOSE_TIP, 1])
    lips = _region(head.v_template, points[_LIPS], _LIP_MARGIN) & front
    return {"face": face, "eyes": eyes, "eyeballs": eyeballs, "lips": lips, "neck": (y < border) & ~face}


def _mask(value: object, name: str, count: int, path: str | Path) -> np.ndarray:
    if isinstance(value, np.ndarray) and value.shape == (count,) and value.dtype == bool:
        return value
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in "iu":
        fail(path, name, "is not a row of vertex indices")
    if len(value) and not (int(value.min()) >= 0 and int(value.max()) < count):
        fail(path, name, f"has a vertex outside 0..{count - 1}: not the masks of this head")
    mask = np.zeros(count, bool)
    mask[value.astype(np.int64)] = True
    return mask


def _region(vertices: np.ndarray, outline: np.ndarray, margin: float) -> np.ndarray:
    """Vertices inside `outline` [N, 3] grown by `margin`, seen from the front, and not deep behind it."""
    centre = outline.mean(0)
    grown = (centre + margin * (outline - centre))[:, :2]
    return inside_polygon(vertices[:, :2], grown) & (vertices[:, 2] > outline[:, 2].min() - _DEPTH)


def inside_polygon(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Which points [N, 2] lie inside the closed polygon [M, 2]: bool [N]."""
    from matplotlib.path import Path as Polygon

    return Polygon(outline).contains_points(points)


def _normals(head: HeadArrays) -> np.ndarray:
    """Vertex normals [V, 3] of the template, not normalised: only their direction is used."""
    a, b, c = (head.v_template[head.faces[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    normals = np.zeros_like(head.v_template)
    for k in range(3):
        np.add.at(normals, head.faces[:, k], face)
    return normals
