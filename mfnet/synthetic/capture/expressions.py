"""Multi-PIE's expressions for any head: the coefficients that move its landmarks as an actor's would."""

import functools

import numpy as np
import torch

from mfnet.flame import Flame
from mfnet.landmarks.ibug import MIRRORED
from mfnet.synthetic.atlas import EYE_CORNERS_MM
from mfnet.synthetic.subjects import expression_scale

Movements = dict[int, tuple[float, float, float]]
# Landmark -> (outwards, up, forward) in face mm; "outwards" is away from the midline on either side.
SMILE: Movements = {
    48: (5, 4, -2),
    49: (3, 2.5, -1),
    59: (3, 2.5, -1),
    60: (4.5, 3.5, -1.5),
    41: (0, 0.8, 0),
    40: (0, 0.8, 0),
}
BROWS_UP: Movements = dict.fromkeys((17, 18, 19, 20, 21), (0, 5, 0))
EYES_WIDE: Movements = {37: (0, 1.5, 0), 38: (0, 1.5, 0)}
SQUINT: Movements = {
    37: (0, -2, 0),
    38: (0, -2, 0),
    40: (0, 1.5, 0),
    41: (0, 1.5, 0),
    19: (0, -2, 0),
    20: (0, -3, 0),
    21: (-1, -3, 0),
}
DISGUST: Movements = {
    50: (0, 3, 1),
    49: (0.5, 2.5, 0),
    61: (0, 3, 1),
    48: (1, -1, 0),
    31: (1, 2, 0),
    20: (0, -2, 0),
    21: (-1, -3, 0),
}
SCREAM: Movements = {
    50: (0, 2, 0),
    48: (1, 0, -1),
    37: (0, -1.5, 0),
    38: (0, -1.5, 0),
    41: (0, 1, 0),
    40: (0, 1, 0),
    21: (0, -2, 0),
}
EXPRESSIONS: dict[str, tuple[Movements, float]] = {
    "neutral": ({}, 0.0),
    "smile": (SMILE, 1.0),
    "surprise": (BROWS_UP | EYES_WIDE, 16.0),
    "squint": (SQUINT, 0.0),
    "disgust": (DISGUST, 1.0),
    "scream": (SCREAM, 25.0),
}
"""Expression -> movements of the right half's landmarks (the left half mirrors them), and degrees of jaw opening."""


def expression_coefficients(flame: Flame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Expression [n_expression] and jaw pose [3] (axis-angle) of one of Multi-PIE's six expressions.

    Least squares over the 51 static landmarks, regularised by the natural size of the head's coefficients
    (`expression_scale`); so a head whose directions cannot do what is asked does as much as it can.
    """
    movements, opening = EXPRESSIONS[name]
    jaw = np.array([np.radians(opening), 0.0, 0.0], np.float32)
    basis, scale, unit = _landmark_basis(flame)
    target = np.zeros((51, 3))
    for point, (out, up, forward) in movements.items():
        target[point - 17] = (-out, up, forward)
        target[MIRRORED[point] - 17] = (out, up, forward)
    system = basis * (4 * scale) / unit  # in face mm per four standard deviations
    normal = system.T @ system + 4.0 * np.eye(system.shape[1])
    coefficients = np.linalg.solve(normal, system.T @ target.reshape(-1)) * (4 * scale)
    return np.round(coefficients, 4).astype(np.float32), jaw


@functools.lru_cache(maxsize=4)
def _landmark_basis(flame: Flame) -> tuple[np.ndarray, float, float]:
    """Movement of the static landmarks per coefficient [51 * 3, n_expression], metres; scale; metres per face mm."""
    with torch.no_grad():
        coefficients = torch.cat([torch.zeros(1, flame.n_expression), torch.eye(flame.n_expression)])
        batch = len(coefficients)
        points = flame(torch.zeros(batch, flame.n_shape), coefficients, torch.zeros(batch, 3)).landmarks_full
    basis = (points[1:, 17:] - points[:1, 17:]).reshape(batch - 1, -1).T.double().numpy()
    unit = float((points[0, 45] - points[0, 36]).norm()) / EYE_CORNERS_MM
    return basis, expression_scale(flame), unit
