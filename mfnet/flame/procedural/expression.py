"""The 50 expression directions: facial actions, both-sided first, then their one-sided (odd) twins, then finer ones.

Coefficients are meant as N(0, 1), as FLAME's: one standard deviation is a mild expression, about 2.5 a strong one;
negative values are the opposite action (a smile's is a drooping mouth). The jaw is not part of them: it has its own
joint.
"""

import numpy as np

from mfnet.flame.procedural.anatomy import EYE, LID_RADIUS, MOUTH_CORNER, smoothstep
from mfnet.flame.procedural.fields import FLIP, Bump, both_sides
from mfnet.flame.procedural.layout import eye_loop
from mfnet.flame.procedural.skinning import jaw_weights
from mfnet.flame.procedural.topology import SKIN, HeadMesh

CORNER = (MOUTH_CORNER, -0.0445, 0.060)
MOUTH_WIDE = (0.012, 0.010, 0.020)

EVEN = {
    "smile": [
        Bump(CORNER, (0.013, 0.012, 0.022), (2.2, 2.8, -1.8)),
        Bump((0.038, -0.018, 0.050), (0.016, 0.016, 0.022), (0.6, 1.4, 1.4)),
        Bump((0, -0.045, 0.070), (0.016, 0.010, 0.018), (0, 0.4, -0.8)),
    ],
    "pucker": [
        Bump((0.022, -0.045, 0.062), MOUTH_WIDE, (-3.0, 0, 1.2)),
        Bump((0, -0.045, 0.072), (0.014, 0.013, 0.018), (0, 0, 2.6)),
    ],
    "brows up": [
        Bump((0.016, 0.048, 0.060), (0.016, 0.013, 0.024), (0, 2.0, 0)),
        Bump((0.042, 0.047, 0.052), (0.017, 0.013, 0.024), (0, 1.9, 0)),
    ],
    "lips part": [
        Bump((0, -0.040, 0.070), (0.015, 0.010, 0.024), (0, 1.1, 0.2), lip=1),
        Bump((0, -0.050, 0.070), (0.015, 0.012, 0.024), (0, -1.9, 0), lip=-1),
    ],
    "brows down": [
        Bump((0.014, 0.045, 0.062), (0.012, 0.011, 0.022), (-1.1, -1.8, 0.5)),
        Bump((0.034, 0.046, 0.056), (0.014, 0.010, 0.022), (-0.5, -1.1, 0.2)),
    ],
    "upper lip up": [
        Bump((0.010, -0.036, 0.070), (0.011, 0.012, 0.022), (0, 1.6, 0.3), lip=1),
        Bump((0.022, -0.020, 0.062), (0.011, 0.013, 0.020), (0.3, 1.3, 0.8), lip=1),
    ],
    "lids close": [],
    "squint": [Bump((0.036, 0.006, 0.050), (0.018, 0.009, 0.022), (0, 1.3, 0.7))],
    "mouth wide": [Bump(CORNER, (0.014, 0.014, 0.022), (2.6, -0.6, -1.4))],
    "corners down": [Bump((0.024, -0.048, 0.060), (0.011, 0.013, 0.020), (0.5, -2.2, -0.3))],
    "lips pressed": [
        Bump((0, -0.038, 0.073), (0.018, 0.006, 0.014), (0, -0.7, -1.2), lip=1),
        Bump((0, -0.051, 0.073), (0.018, 0.007, 0.014), (0, 0.9, -1.4), lip=-1),
    ],
    "funnel": [
        Bump((0, -0.038, 0.073), (0.015, 0.008, 0.016), (0, 0.9, 2.0), lip=1),
        Bump((0, -0.051, 0.073), (0.015, 0.009, 0.016), (0, -1.1, 2.0), lip=-1),
        Bump((0.022, -0.045, 0.062), MOUTH_WIDE, (-1.6, 0, 0.8)),
    ],
    "chin raised": [
        Bump((0, -0.072, 0.066), (0.018, 0.014, 0.022), (0, 1.9, 0.7)),
        Bump((0, -0.052, 0.070), (0.020, 0.010, 0.018), (0, 0.8, 0.8)),
    ],
    "cheeks puffed": [Bump((0.038, -0.038, 0.048), (0.018, 0.020, 0.024), (1.8, 0, 1.8))],
    "nose wrinkled": [
        Bump((0.012, 0.006, 0.066), (0.010, 0.012, 0.016), (0, 1.1, 0.5)),
        Bump((0.016, -0.013, 0.068), (0.008, 0.009, 0.014), (0.4, 1.3, 0)),
    ],
    "nostrils wide": [Bump((0.015, -0.015, 0.070), (0.007, 0.007, 0.012), (1.1, 0.2, 0))],
    "inner brows up": [Bump((0.014, 0.047, 0.061), (0.011, 0.012, 0.022), (0, 2.0, 0))],
    "outer brows up": [Bump((0.046, 0.046, 0.048), (0.012, 0.012, 0.022), (0, 1.7, 0))],
    "dimples": [Bump((0.031, -0.043, 0.055), (0.008, 0.010, 0.016), (0.6, 0.2, -1.6))],
    "upper lip out": [Bump((0, -0.039, 0.074), (0.016, 0.006, 0.014), (0, 0.2, 1.4), lip=1)],
    "lower lip out": [Bump((0, -0.050, 0.074), (0.016, 0.007, 0.014), (0, -0.3, 1.6), lip=-1)],
    "lower lip up": [Bump((0, -0.052, 0.072), (0.018, 0.009, 0.016), (0, 1.1, 0.2), lip=-1)],
    "chin forward": [Bump((0, -0.075, 0.062), (0.030, 0.020, 0.032), (0, 0, 1.6), lip=-1)],
    "neck tense": [Bump((0.030, -0.115, -0.005), (0.014, 0.025, 0.030), (1.2, 0, 1.2))],
    "cheeks hollow": [Bump((0.045, -0.030, 0.035), (0.016, 0.018, 0.022), (-1.5, 0, -0.6))],
    "cheeks up": [Bump((0.040, -0.006, 0.045), (0.016, 0.012, 0.020), (0.2, 1.4, 0.8))],
}
ODD = ("smile", "brows up", "lids close", "mouth wide", "upper lip up", "corners down", "brows down", "squint")
ODD += ("cheeks puffed", "nose wrinkled", "dimples", "inner brows up", "cheeks up")
SIDEWAYS = {
    "mouth sideways": [Bump((0.014, -0.047, 0.068), (0.026, 0.016, 0.024), (1.8, 0, 0))],
    "chin sideways": [Bump((0.016, -0.075, 0.058), (0.026, 0.018, 0.028), (1.4, 0, 0))],
}
NAMES = (*EVEN, *(f"{name}, odd" for name in ODD), *SIDEWAYS)
"""Names of the leading coefficients; the remaining ones are finer variations of mouth and brows without a name."""

LID_AREA = np.array([0.0200, 0.0124])
"""Half axes (metres) of the lids' area around the eye's centre."""
LID_SHARE = 0.18
"""Share of the lids' gap that one standard deviation of "lids close" closes."""


ODD_SHARE = 0.45
"""Size of the one-sided actions' difference relative to the both-sided ones: most expressions are nearly even."""


def _margin(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights above the eye's centre of the upper and lower lid margins at x (from the eye's centre)."""
    loop = eye_loop(0.0) - EYE[:2]
    half = len(loop) // 2
    lower, upper = loop[: half + 1], np.concatenate([loop[half:], loop[:1]])[::-1]
    return np.interp(x, upper[:, 0], upper[:, 1]), np.interp(x, lower[:, 0], lower[:, 1])


def lid_closure(points: np.ndarray, lower_share: float = 0.2) -> np.ndarray:
    """Displacements [N, 3] that close the left eye: the margins turn about its centre until they meet, skin follows."""
    offset = points - EYE
    upper, lower = _margin(offset[:, 0])
    gap = np.arcsin(upper / LID_RADIUS) - np.arcsin(lower / LID_RADIUS)
    sides = 1.0 - smoothstep(np.abs(offset[:, 0]), 0.0150, 0.0190)
    above = 1.0 - smoothstep(offset[:, 1] - upper, 0.0, 0.0085)
    below = 1.0 - smoothstep(lower - offset[:, 1], 0.0, 0.0075)
    is_upper = offset[:, 1] > 0.5 * (upper + lower)
    angle = gap * sides * np.where(is_upper, -(1.0 - lower_share) * above, lower_share * below)
    angle = angle * smoothstep(points[:, 2], 0.030, 0.038) * (points[:, 0] > 0.0)
    cos, sin = np.cos(angle), np.sin(angle)
    y, z = offset[:, 1], offset[:, 2]
    return np.column_stack([np.zeros_like(y), (cos * y + sin * z) - y, (-sin * y + cos * z) - z])


def _lids(mesh: HeadMesh, name: str) -> np.ndarray:
    """What an action does to the left eye's lids beyond its bumps: [V, 3]."""
    if name not in ("lids close", "squint", "brows up"):
        return np.zeros_like(mesh.vertices)
    share = {"lids close": LID_SHARE, "squint": 0.12, "brows up": -0.04}[name]
    lower = {"lids close": 0.2, "squint": 0.6, "brows up": 0.0}[name]
    return share * lid_closure(mesh.vertices, lower) * (mesh.part == SKIN)[:, None]


def _calm(points: np.ndarray) -> np.ndarray:
    """Share [N, 1] of brow and cheek actions that skin follows: none at the lids, which must stay on the eyeball."""
    offset = (np.column_stack([np.abs(points[:, 0]), points[:, 1]]) - EYE[:2]) / LID_AREA
    return smoothstep(np.sqrt((offset**2).sum(-1)), 0.70, 1.35)[:, None]


def _action(mesh: HeadMesh, jaw: np.ndarray, name: str, sign: float) -> np.ndarray:
    lids = _lids(mesh, name)
    midline = [b for b in EVEN[name] if b.centre[0] == 0.0]
    bumps = EVEN[name] if sign > 0.0 else [b for b in EVEN[name] if b not in midline]
    return _calm(mesh.vertices) * both_sides(bumps, mesh.vertices, jaw, sign) + lids + sign * FLIP * lids[mesh.mirror]


def _finer(rng: np.random.Generator, index: int) -> tuple[list[Bump], float]:
    """A small variation of mouth or brows."""
    if index % 3 == 2:
        centre = (rng.uniform(0.012, 0.048), rng.uniform(0.042, 0.060), 0.055)
    else:
        centre = (rng.uniform(0.004, 0.032), rng.uniform(-0.070, -0.025), 0.065)
    lip = 0 if index % 3 == 2 else int(rng.integers(-1, 2))
    return [Bump(centre, (0.010, 0.009, 0.018), tuple(rng.normal(size=3) * 0.7), lip)], (
        -1.0 if index % 4 == 3 else 1.0
    )


def expression_directions(mesh: HeadMesh, count: int, rng: np.random.Generator) -> np.ndarray:
    """Directions [V, 3, count] in metres per standard deviation, in the order of `NAMES`, then finer ones."""
    jaw = jaw_weights(mesh)
    fields = [_action(mesh, jaw, name, 1.0) for name in EVEN]
    fields += [ODD_SHARE * _action(mesh, jaw, name, -1.0) for name in ODD]
    fields += [both_sides(bumps, mesh.vertices, jaw, -1.0) for bumps in SIDEWAYS.values()]
    finer = [_finer(rng, index) for index in range(max(count - len(fields), 0))]
    fields += [_calm(mesh.vertices) * both_sides(bumps, mesh.vertices, jaw, sign) for bumps, sign in finer]
    skin = (mesh.part <= 1)[:, None, None]
    return np.stack(fields[:count], axis=-1) * skin
