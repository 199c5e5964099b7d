"""Regions of the head's vertices: the project's own, and what skins and pictures want to tell apart."""

import numpy as np

from mfnet.flame.head import HeadArrays
from mfnet.flame.masks import derive_masks
from scripts.makehuman.mesh import HeadMesh
from scripts.makehuman.rings import opening, within

EAR = (0.073, 0.055, 0.002)
"""Only the ears reach this far from the middle of the base mesh; of the skin within their box, what lies beyond the
second distance is ear; margin of the box; metres."""
LID_RINGS = 6
HAIRLINE = (0.045, 0.55, 0.020, -0.075)
"""Of the scalp on the base mesh: height over the eyes at the ball's depth, its rise per metre of depth, how far it
falls behind the ear's front, lowest height at the nape; metres."""


def ear_mask(mesh: HeadMesh, base: np.ndarray) -> np.ndarray:
    """[V] bool: both ears; base [V, 3]: the vertices of the base mesh."""
    outer, inner, margin = EAR
    sideways = np.abs(base[:, 0])
    tips = base[(sideways > outer) & (base[:, 1] > base[mesh.part == "upper_teeth", 1].min()), 1:]
    inside = (base[:, 1:] > tips.min(0) - margin) & (base[:, 1:] < tips.max(0) + margin)
    return (mesh.part == "skin") & inside.all(1) & (sideways > inner)


def region_masks(mesh: HeadMesh, head: HeadArrays, base: np.ndarray) -> dict[str, np.ndarray]:
    """Masks [V] bool by name: the project's `REGIONS`, then teeth, tongue, mouth, lids, ears and scalp.

    head: with its landmarks; base [V, 3]: the vertices of the base mesh.
    """
    outside = np.zeros(len(base), bool)
    outside[mesh.faces[np.isin(mesh.room, ("face", "neck"))]] = True
    inside = np.zeros(len(base), bool)
    inside[mesh.faces[mesh.room == "mouth_inside"]] = True
    ears = ear_mask(mesh, base)
    lids = within(mesh, opening(mesh, "socket"), LID_RINGS) & outside
    scalp = _scalp(mesh, base) & outside & ~ears
    masks = derive_masks(head)
    brow = _forehead(mesh, base) & outside & ~scalp
    teeth = np.isin(mesh.part, ("upper_teeth", "lower_teeth"))
    masks["face"] = (masks["face"] | brow) & outside & ~ears & ~scalp | lids
    masks["lips"] = masks["lips"] & outside
    masks["neck"] = masks["neck"] & outside & ~masks["face"] & ~ears & ~scalp
    masks["eyes"] = masks["eyes"] & outside | lids | masks["eyeballs"]
    masks |= {"teeth": teeth, "tongue": mesh.part == "tongue", "mouth_inside": inside & ~outside}
    masks |= {"mouth": masks["teeth"] | masks["tongue"] | masks["mouth_inside"]}
    masks |= {"lids": lids, "ears": ears, "scalp": scalp}
    return {name: mask | mask[mesh.mirror] for name, mask in masks.items()}


def _scalp(mesh: HeadMesh, base: np.ndarray) -> np.ndarray:
    up, forward = (base - base[mesh.part == "eye"].mean(0))[:, 1:].T
    height, rise, ear, nape = HAIRLINE
    front = up > height + rise * (forward + 0.05)
    behind = (forward < -0.05 - ear) & (up > nape)
    return front | behind


def _forehead(mesh: HeadMesh, base: np.ndarray) -> np.ndarray:
    up, forward = (base - base[mesh.part == "eye"].mean(0))[:, 1:].T
    return (up > 0.03) & (forward > -0.035)
