"""Regions of the head's vertices: the project's own, and what skins and pictures want to tell apart."""

import numpy as np

from mfnet.flame.head import HeadArrays
from mfnet.flame.masks import derive_masks
from scripts.makehuman.mesh import HeadMesh
from scripts.makehuman.rings import edges_of, opening
from scripts.makehuman.source import Source

EAR_TARGETS = ("ears/l-ear-scale-incr", "ears/r-ear-scale-incr")
EAR_SHARE = 0.12
"""A vertex belongs to the ear where the target that scales it moves it by more than this share of its largest move."""
LID_RINGS = 6
HAIRLINE = (0.045, 0.55, 0.020, -0.075)
"""Of the scalp on the base mesh: height over the eyes at the ball's depth, its rise per metre of depth, how far it
falls behind the ear's front, lowest height at the nape; metres."""


def ear_mask(mesh: HeadMesh, source: Source) -> np.ndarray:
    """[V] bool: both ears."""
    moved = sum(np.linalg.norm(mesh.operator @ source.dense(source.target(name)), axis=1) for name in EAR_TARGETS)
    return (moved > EAR_SHARE * moved.max()) & (mesh.part == "skin")


def region_masks(mesh: HeadMesh, head: HeadArrays, base: np.ndarray, ears: np.ndarray) -> dict[str, np.ndarray]:
    """Masks [V] bool by name: the project's `REGIONS`, then teeth, tongue, mouth, lids, ears and scalp.

    head: with its landmarks; base [V, 3]: the vertices of the base mesh.
    """
    outside = np.zeros(len(base), bool)
    outside[mesh.faces[np.isin(mesh.room, ("face", "neck"))]] = True
    inside = np.zeros(len(base), bool)
    inside[mesh.faces[mesh.room == "mouth_inside"]] = True
    lids = _near(mesh, opening(mesh, "socket"), LID_RINGS) & outside
    scalp = _scalp(mesh, base) & outside & ~ears
    masks = derive_masks(head)
    teeth = np.isin(mesh.part, ("upper_teeth", "lower_teeth"))
    masks["face"] = masks["face"] & outside & ~ears & ~scalp | lids
    masks["lips"] = masks["lips"] & outside
    masks["neck"] = masks["neck"] & outside & ~masks["face"] & ~ears & ~scalp
    masks["eyes"] = masks["eyes"] & outside | lids | masks["eyeballs"]
    inner = {"teeth": teeth, "tongue": mesh.part == "tongue", "mouth_inside": inside & ~outside}
    mouth = {"mouth": np.logical_or.reduce(list(inner.values()))}
    return {
        name: mask | mask[mesh.mirror]
        for name, mask in {**masks, **inner, **mouth, "lids": lids, "ears": ears, "scalp": scalp}.items()
    }


def _near(mesh: HeadMesh, start: np.ndarray, rings: int) -> np.ndarray:
    """[V] bool: vertices of the face within `rings` edges of the vertices `start`."""
    a, b = edges_of(mesh.faces[mesh.room == "face"]).T
    reached = np.zeros(len(mesh.part), bool)
    reached[start] = True
    for _ in range(rings):
        grown = reached.copy()
        grown[a] |= reached[b]
        grown[b] |= reached[a]
        reached = grown
    return reached


def _scalp(mesh: HeadMesh, base: np.ndarray) -> np.ndarray:
    up, forward = (base - base[mesh.part == "eye"].mean(0))[:, 1:].T
    height, rise, ear, nape = HAIRLINE
    front = up > height + rise * (forward + 0.05)
    behind = (forward < -0.05 - ear) & (up > nape)
    return front | behind
