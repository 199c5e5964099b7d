"""The features of the face, as smooth displacements of the skull: sockets and lids, nose, lips, chin, ears.

Each function takes rest points [N, 3] of the skull and returns what to add. Heights are along z over the face's
plane, which is how a face in relief is drawn; ears and temples move along x.
"""

import numpy as np

from mfnet.flame.procedural.anatomy import (
    BROW,
    EYE,
    LID_RADIUS,
    MOUTH_CORNER,
    NOSE_TIP,
    ear_coordinates,
    gaussian,
    lip_heights,
    mouth_line,
    pair,
    profile,
    smoothstep,
)

LID_DEPTH = 0.0095
"""How far the lids' surface falls back at most from its front, metres."""
NOSE_HEIGHT = profile(
    {0.050: 0.0, 0.040: 0.0010, 0.029: 0.0030, 0.018: 0.0088, 0.005: 0.0160, -0.004: 0.0205, -0.0085: 0.0218}
    | {-0.0125: 0.0205, -0.0165: 0.0165, -0.0205: 0.0085, -0.0245: 0.0020, -0.0290: 0.0}
)
"""How far the bridge of the nose stands out of the skull at height y."""
NOSE_WIDTH = profile({0.045: 0.0130, 0.029: 0.0085, 0.015: 0.0076, 0.002: 0.0087, -0.008: 0.0108, -0.0200: 0.0092})
"""Half width of the ridge at height y."""


def _front(p: np.ndarray) -> np.ndarray:
    return smoothstep(p[:, 2], -0.010, 0.030)


def relief(p: np.ndarray) -> np.ndarray:
    """Brow ridge, orbits, cheeks, folds and chin: heights [N] along z."""
    x, y = p[:, 0], p[:, 1]
    brow = 0.0042 * pair(x, y, 0.0250, BROW - 0.001, 0.0150, 0.0055) + 0.0020 * pair(x, y, 0.040, 0.043, 0.007, 0.006)
    glabella = 0.0022 * gaussian(x, y, 0.0, 0.044, 0.012, 0.009)
    orbit = -0.0035 * pair(x, y, 0.0190, 0.0290, 0.0070, 0.0080) - 0.0020 * pair(x, y, 0.0300, 0.0110, 0.0130, 0.0050)
    cheek = 0.0025 * pair(x, y, 0.0400, 0.0000, 0.0120, 0.0100)
    canine = -0.0022 * pair(x, y, 0.0240, -0.0130, 0.0050, 0.0090)
    fold = -0.0016 * pair(x, y, 0.0310, -0.0420, 0.0035, 0.0080)
    sulcus = -0.0042 * gaussian(x, y, 0.0, -0.0615, 0.0170, 0.0042)
    chin = 0.0040 * gaussian(x, y, 0.0, -0.0770, 0.0130, 0.0075) + 0.0010 * pair(x, y, 0.0080, -0.0790, 0.0055, 0.0060)
    return (brow + glabella + orbit + cheek + canine + fold + sulcus + chin) * _front(p)


def nose(p: np.ndarray) -> np.ndarray:
    """Bridge, tip, wings, columella and nostrils: displacements [N, 3]."""
    x, y = p[:, 0], p[:, 1]
    ridge = NOSE_HEIGHT(y) * np.exp(-(np.abs(x / NOSE_WIDTH(y)) ** 2.0))
    tip = 0.0024 * gaussian(x, y, 0.0, NOSE_TIP - 0.0005, 0.0085, 0.0060)
    wings = 0.0115 * pair(x, y, 0.0136, -0.0142, 0.0040, 0.0050)
    crease = -0.0018 * pair(x, y, 0.0205, -0.0125, 0.0022, 0.0050)
    nostril = pair(x, y, 0.0068, -0.0190, 0.0027, 0.0017)
    height = (ridge + tip + wings + crease - 0.0062 * nostril) * _front(p)
    droop = -0.0022 * gaussian(x, y, 0.0, -0.0155, 0.0120, 0.0035) + 0.0022 * nostril
    return np.column_stack([np.zeros_like(x), droop * _front(p), height])


def lips(p: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Rolls of both lips, philtrum: [N, 3]. side: +1 on the upper edge of the mouth line, -1 on the lower, else 0."""
    x, y = p[:, 0], p[:, 1]
    upper_height, lower_height = lip_heights(x)
    above = y - mouth_line(x)
    inside = np.sqrt(np.clip(1.0 - (x / MOUTH_CORNER) ** 2, 0.0, 1.0))
    upper = np.where(side == 0, above > 0.0, side > 0)
    t = np.abs(above) / np.maximum(np.where(upper, upper_height, lower_height), 0.0012)
    roll = profile({0.0: 0.0, 0.15: 0.0021, 0.45: 0.0042, 0.8: 0.0036, 1.0: 0.0023, 1.35: 0.0007, 2.2: 0.0})
    full = profile({0.0: 0.0, 0.15: 0.0023, 0.45: 0.0046, 0.75: 0.0036, 1.0: 0.0018, 1.4: 0.0003, 2.2: 0.0})
    height = np.where(upper, roll(t), full(t)) * inside
    line = -0.0015 * np.exp(-0.5 * (above / 0.0016) ** 2) * smoothstep(-np.abs(x), -0.030, -0.022)
    philtrum = -0.0013 * gaussian(x, y, 0.0, -0.0300, 0.0026, 0.0055) + 0.0007 * pair(
        x, y, 0.0056, -0.030, 0.002, 0.005
    )
    corner = -0.0022 * pair(x, y, MOUTH_CORNER + 0.001, float(mouth_line(np.array(MOUTH_CORNER))), 0.0040, 0.0040)
    z = (height + line + philtrum + corner) * _front(p)
    return np.column_stack([np.zeros_like(x), 0.00015 * side * inside, z])


def lids(p: np.ndarray) -> np.ndarray:
    """Draws the skin around the eye onto the sphere on which the lids slide, after all other relief: [N, 3]."""
    x, y = np.abs(p[:, 0]) - EYE[0], p[:, 1] - EYE[1]
    squared = x**2 + y**2
    drop = squared / (2.0 * LID_RADIUS) * (1.0 + 0.25 * squared / LID_RADIUS**2)
    ball = EYE[2] + LID_RADIUS - LID_DEPTH * np.tanh(drop / LID_DEPTH)
    distance = np.sqrt((x / 0.0200) ** 2 + ((y - 0.0004) / 0.0124) ** 2)
    near = 1.0 - smoothstep(distance, 0.66, 1.22)
    crease = -0.0014 * np.exp(-0.5 * ((distance - 0.88) / 0.12) ** 2) * smoothstep(y, 0.001, 0.007)
    z = near * (ball - p[:, 2]) + crease
    return np.column_stack([np.zeros_like(x), np.zeros_like(x), z * (p[:, 2] > 0.0)])


def ears(p: np.ndarray) -> np.ndarray:
    """Auricles: plates that stand off backwards, with helix, antihelix, concha and tragus: displacements [N, 3]."""
    s, t, radius = ear_coordinates(p)
    plate = 1.0 - smoothstep(radius, 0.74, 1.24)
    rise = smoothstep(s, -1.0, 0.75)
    out = 0.0175 * plate * rise * (0.85 + 0.15 * t)
    helix = 0.0030 * np.exp(-0.5 * ((radius - 0.84) / 0.11) ** 2) * smoothstep(s + 0.5 * t, -0.55, 0.15)
    fossa = -0.0028 * np.exp(-0.5 * ((radius - 0.60) / 0.12) ** 2) * smoothstep(s + 0.6 * t, -0.2, 0.4)
    concha = -0.0085 * np.exp(-0.5 * (((s + 0.16) / 0.27) ** 2 + ((t + 0.14) / 0.30) ** 2))
    tragus = 0.0030 * np.exp(-0.5 * (((s + 0.66) / 0.12) ** 2 + ((t + 0.16) / 0.15) ** 2))
    sign = np.sign(p[:, 0])
    back = -0.0085 * plate * rise
    return np.column_stack([sign * (out + helix + fossa + concha + tragus), np.zeros_like(out), back])


def sculpt(p: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The skin [N, 3] of the average head over points [N, 3] of the skull. side: see `lips`."""
    height = relief(p)
    flat = np.column_stack([np.zeros_like(height), np.zeros_like(height), height])
    skin = p + flat + nose(p) + lips(p, side)
    temple = 0.0022 * np.exp(-0.5 * (((p[:, 1] - 0.040) / 0.016) ** 2 + ((p[:, 2] - 0.022) / 0.014) ** 2))
    skin[:, 0] -= np.sign(p[:, 0]) * temple * smoothstep(np.abs(p[:, 0]), 0.030, 0.050)
    skin += ears(p)
    return skin + lids(skin)
