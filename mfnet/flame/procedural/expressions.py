"""Multi-PIE's six expressions in terms of the procedural head's coefficients and jaw."""

import numpy as np

from mfnet.errors import InputError
from mfnet.flame.procedural.expression import NAMES

MULTIPIE: dict[str, tuple[dict[str, float], float]] = {  # coefficients (standard deviations), jaw opening (radians)
    "neutral": ({}, 0.0),
    "smile": ({"smile": 2.3, "squint": 0.8, "lips part": 1.0, "cheeks up": 1.0, "mouth wide": 0.6}, 0.03),
    "surprise": ({"brows up": 2.6, "lids close": -1.2, "funnel": 0.6, "lips part": 0.8}, 0.36),
    "squint": ({"squint": 2.6, "lids close": 1.3, "brows down": 1.2, "nose wrinkled": 0.6, "cheeks up": 1.2}, 0.0),
    "disgust": (
        {
            "upper lip up": 2.0,
            "nose wrinkled": 2.2,
            "squint": 1.4,
            "brows down": 1.5,
            "corners down": 0.9,
            "chin raised": 0.6,
        },
        0.02,
    ),
    "scream": (
        {"mouth wide": 1.2, "upper lip up": 1.4, "lips part": 1.2, "lids close": 2.4, "squint": 1.4}
        | {"brows down": 1.0, "nose wrinkled": 1.0, "neck tense": 1.5},
        0.52,
    ),
}


def multipie_expression(name: str, n_expression: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [n_expression] (sigmas) and jaw pose [3] (axis-angle) of one of Multi-PIE's expressions.

    Raises InputError for another name than neutral, smile, surprise, squint, disgust and scream.
    """
    if name not in MULTIPIE:
        raise InputError(f"expression {name!r} is none of Multi-PIE's: choose one of {', '.join(MULTIPIE)}")
    named, jaw = MULTIPIE[name]
    expression = np.zeros(n_expression, np.float32)
    for action, value in named.items():
        if NAMES.index(action) < n_expression:
            expression[NAMES.index(action)] = value
    return expression, np.array([jaw, 0.0, 0.0], np.float32)
