"""Where things are on the average head, and the smooth functions that everything else is made of.

Metres in FLAME's axes (x to the subject's left, y up, z out of the face). The figures are rounded anthropometric means
(distances between nasion, subnasale, stomion and menton; palpebral fissure; mouth and nose width; head length, width
and height), placed so that the origin lies between the ears as in FLAME.
"""

from collections.abc import Callable

import numpy as np
from scipy.interpolate import PchipInterpolator

CENTRE = np.array([0.0, 0.0, -0.030])
"""From here every point of the skull's surface is seen: directions from it parametrise the skin."""

EYE = np.array([0.0315, 0.0250, 0.0365])
"""Centre of the left eyeball; the right one is its mirror image."""
EYE_RADIUS = 0.0125
LID_RADIUS = 0.0137
"""The lids slide on a sphere around the eyeball, thick enough to cover it while they close along chords."""

INNER_CANTHUS = np.array([0.0172, 0.0228])
OUTER_CANTHUS = np.array([0.0452, 0.0262])

UPPER_LID, LOWER_LID = 0.0056, 0.0041
"""Heights of the lid margins above and below the line between the canthi."""

MOUTH_LINE = -0.0440
MOUTH_CORNER = 0.0250
UPPER_LIP = 0.0080
LOWER_LIP = 0.0095

NOSE_TIP = -0.0085
BROW = 0.0460
CHIN = -0.0780
NECK_BASE = -0.1650

EAR = np.array([0.0000, -0.0290])
"""(y, z) of the middle of the ear."""
EAR_SIZE = np.array([0.0310, 0.0175])
"""Half height and half depth of the ear."""
EAR_TILT = 0.22
"""Radians by which the ear's top leans backwards."""

JAW_HINGE = np.array([0.0620, -0.0080, -0.0180])
"""The left temporomandibular joint."""


def gaussian(x: np.ndarray, y: np.ndarray, cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
    """A bump of height 1 around (cx, cy) with standard deviations (sx, sy)."""
    return np.exp(-0.5 * (((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))


def pair(x: np.ndarray, y: np.ndarray, cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
    """The same bump on both sides of the face."""
    return gaussian(x, y, cx, cy, sx, sy) + gaussian(x, y, -cx, cy, sx, sy)


def smoothstep(t: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, twice differentiable between (a quintic)."""
    s = np.clip((t - low) / (high - low), 0.0, 1.0)
    return s * s * s * (s * (6.0 * s - 15.0) + 10.0)


def profile(table: dict[float, float]) -> Callable[[np.ndarray], np.ndarray]:
    """A monotone-preserving cubic through (position, value) pairs, constant outside them."""
    knots = np.array(sorted(table))
    curve = PchipInterpolator(knots, np.array([table[k] for k in sorted(table)]))
    return lambda t: curve(np.clip(t, knots[0], knots[-1]))


def mouth_line(x: np.ndarray) -> np.ndarray:
    """Height of the closed mouth's line: a flat bow whose corners hang a little."""
    return MOUTH_LINE - 0.0005 * np.exp(-0.5 * (x / 0.0055) ** 2) - 0.9 * x**2


def lip_heights(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights of the upper and lower vermilion above and below the mouth line at `x`, zero from the corners on."""
    inside = np.sqrt(np.clip(1.0 - (x / MOUTH_CORNER) ** 2, 0.0, 1.0))
    bow = 1.0 - 0.13 * np.exp(-0.5 * (x / 0.0028) ** 2)
    taper = 1.0 - 0.35 * smoothstep(np.abs(x), 0.006, MOUTH_CORNER)
    return UPPER_LIP * inside * bow * taper, LOWER_LIP * inside


def ear_coordinates(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(s, t, radius): backwards and upwards in the ear's own frame over its half sizes; radius 1 is its outline."""
    y, z = points[..., 1] - EAR[0], EAR[1] - points[..., 2]
    cos, sin = np.cos(EAR_TILT), np.sin(EAR_TILT)
    t = (cos * y + sin * z) / EAR_SIZE[0]
    s = (cos * z - sin * y) / (EAR_SIZE[1] * (1.0 + 0.22 * np.clip(t, -1.2, 1.2)))
    side = smoothstep(np.abs(points[..., 0]), 0.035, 0.050)
    radius = np.sqrt(s**2 + t**2)
    return s, t, radius + 10.0 * (1.0 - side)


def ear_points(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Plane coordinates (y, z) [N, 2] of points in the ear's own frame; the inverse of `ear_coordinates`."""
    up = t * EAR_SIZE[0]
    back = s * (EAR_SIZE[1] * (1.0 + 0.22 * np.clip(t, -1.2, 1.2)))
    cos, sin = np.cos(EAR_TILT), np.sin(EAR_TILT)
    return np.column_stack([EAR[0] + cos * up - sin * back, EAR[1] - sin * up - cos * back])
