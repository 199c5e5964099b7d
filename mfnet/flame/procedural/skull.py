"""The smooth head without its features: a blend of ellipsoids and capsules, cast onto by rays."""

from collections.abc import Sequence

import numpy as np

from mfnet.flame.procedural.anatomy import CENTRE, NECK_BASE

BLEND = 0.0120
"""Metres over which the primitives melt into one another."""

EDGE = 0.010
"""Metres over which the neck's side rounds into its base."""

ELLIPSOIDS = (  # centre, radii; those off the midline have a mirror image
    ((0.0, 0.0450, -0.0360), (0.0725, 0.0860, 0.0945)),  # cranium
    ((0.0240, 0.0700, -0.0450), (0.0480, 0.0540, 0.0780)),  # parietal bones
    ((0.0, 0.0480, 0.0020), (0.0560, 0.0420, 0.0510)),  # forehead
    ((0.0, -0.0150, -0.0020), (0.0560, 0.0680, 0.0570)),  # middle of the face
    ((0.0, -0.0450, 0.0340), (0.0270, 0.0260, 0.0255)),  # muzzle
    ((0.0, -0.0760, 0.0420), (0.0150, 0.0090, 0.0150)),  # chin
    ((0.0420, -0.0020, 0.0140), (0.0170, 0.0160, 0.0230)),  # cheekbone
    ((0.0320, -0.0310, 0.0160), (0.0190, 0.0270, 0.0260)),  # cheek
    ((0.0400, -0.0270, -0.0080), (0.0190, 0.0360, 0.0280)),  # masseter
)
CAPSULES = (  # ends, radius
    ((0.0385, -0.0500, -0.0130), (0.0140, -0.0730, 0.0400), 0.0080),  # body of the mandible
    ((0.0, -0.0200, -0.0480), (0.0, -0.2200, -0.0780), 0.0440),  # neck
    ((0.0220, -0.0100, -0.0480), (0.0240, -0.2200, -0.0700), 0.0300),  # its muscles
)


def _ellipsoid(p: np.ndarray, centre: Sequence[float], radii: Sequence[float]) -> np.ndarray:
    """First-order distance to an ellipsoid, negative inside."""
    q = (p - np.array(centre)) / np.array(radii)
    scaled = np.sqrt((q**2).sum(-1))
    gradient = np.sqrt(((q / np.array(radii)) ** 2).sum(-1))
    return scaled * (scaled - 1.0) / np.maximum(gradient, 1e-9)


def _capsule(p: np.ndarray, start: Sequence[float], end: Sequence[float], radius: float) -> np.ndarray:
    """Distance to a capsule, negative inside."""
    a, b = np.array(start), np.array(end)
    along = np.clip(((p - a) * (b - a)).sum(-1) / ((b - a) ** 2).sum(), 0.0, 1.0)
    return np.sqrt(((p - a - along[..., None] * (b - a)) ** 2).sum(-1)) - radius


def _mirrored(point: Sequence[float]) -> tuple[float, ...]:
    return (-point[0], *point[1:])


def implicit(p: np.ndarray) -> np.ndarray:
    """Signed function of points [..., 3]: negative inside the head, zero on its skin (metres near the surface)."""
    distances = []
    for centre, radii in ELLIPSOIDS:
        distances.append(_ellipsoid(p, centre, radii))
        if centre[0] > 0.0:
            distances.append(_ellipsoid(p, _mirrored(centre), radii))
    for start, end, radius in CAPSULES:
        distances.append(_capsule(p, start, end, radius))
        if start[0] > 0.0:
            distances.append(_capsule(p, _mirrored(start), _mirrored(end), radius))
    nearest = np.minimum.reduce(distances)
    union = nearest - BLEND * np.log(sum(np.exp((nearest - d) / BLEND) for d in distances))
    floor = NECK_BASE - p[..., 1]
    return 0.5 * (union + floor + np.sqrt((union - floor) ** 2 + EDGE**2))


def _bisect(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """The skin's points on segments [N, 3] from inside the head to outside it."""
    for _ in range(34):
        middle = 0.5 * (inside + outside)
        within = (implicit(middle) < 0.0)[:, None]
        inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
    return 0.5 * (inside + outside)


def cast(directions: np.ndarray) -> np.ndarray:
    """Points [N, 3] of the skull seen from `CENTRE` along unit `directions` [N, 3]."""
    return _bisect(np.broadcast_to(CENTRE, directions.shape), CENTRE + 0.40 * directions)


def cast_front(xy: np.ndarray) -> np.ndarray:
    """Points [N, 3] of the front of the face over the plane coordinates `xy` [N, 2]."""
    behind = np.column_stack([xy, np.full(len(xy), 0.0)])
    return _bisect(behind, behind + np.array([0.0, 0.0, 0.15]))


def cast_side(yz: np.ndarray) -> np.ndarray:
    """Points [N, 3] of the left side of the head over the plane coordinates `yz` [N, 2]."""
    within = np.column_stack([np.zeros(len(yz)), yz])
    return _bisect(within, within + np.array([0.15, 0.0, 0.0]))


def cast_level(height: float, angles: np.ndarray) -> np.ndarray:
    """Points [N, 3] of the neck at `height`, at `angles` (radians) from the front to the left around its axis."""
    within = np.tile(np.array([0.0, height, -0.066]), (len(angles), 1))
    return _bisect(within, within + 0.15 * np.column_stack([np.sin(angles), np.zeros(len(angles)), np.cos(angles)]))


def directions_of(points: np.ndarray) -> np.ndarray:
    """Unit directions [N, 3] from `CENTRE` to points [N, 3]."""
    d = points - CENTRE
    return d / np.sqrt((d**2).sum(-1, keepdims=True))
