"""Pose correctives: what linear blend skinning gets wrong, as small smooth fields times FLAME's pose feature."""

import numpy as np

from mfnet.flame.procedural.expression import lid_closure
from mfnet.flame.procedural.fields import FLIP, Bump, both_sides
from mfnet.flame.procedural.skinning import JAW, LEFT_EYE, NECK, RIGHT_EYE, jaw_weights
from mfnet.flame.procedural.topology import SKIN, HeadMesh

JAW_OPEN = [  # millimetres per sine of the jaw's angle
    Bump((0.046, -0.030, 0.030), (0.018, 0.024, 0.026), (-5.0, 0.0, -1.5)),
    Bump((0.026, -0.045, 0.058), (0.008, 0.010, 0.014), (-4.0, 0.0, 1.0)),
    Bump((0, -0.038, 0.070), (0.016, 0.006, 0.016), (0, -1.5, -1.0), lip=1),
    Bump((0, -0.105, 0.030), (0.030, 0.016, 0.026), (0, -3.0, -2.0)),
]
NECK_NOD = [
    Bump((0, -0.100, -0.110), (0.050, 0.030, 0.030), (0, 0, 5.0)),
    Bump((0, -0.110, 0.0), (0.04, 0.02, 0.03), (0, -3, -3)),
]
NECK_TURN = [Bump((0.030, -0.120, -0.010), (0.016, 0.030, 0.026), (2.0, 0, 2.5))]
JAW_SIDE = [Bump((0.044, -0.030, 0.030), (0.018, 0.024, 0.026), (-2.5, 0.0, 0.0))]
LID_FOLLOW = 0.8
"""Share of the lids' gap that the upper lid closes when its eye looks down by one unit of sine."""


def _feature(joint: int, row: int, column: int) -> int:
    """Position of entry (row, column) of a joint's (R - I) in FLAME's pose feature of 36."""
    return (joint - 1) * 9 + row * 3 + column


def pose_directions(mesh: HeadMesh) -> np.ndarray:
    """Correctives [V, 3, 36] in metres per unit of (R - I), row-major, of neck, jaw, left and right eye.

    A rotation about x enters by its sine in entries (2, 1) and, negated, (1, 2): each takes half. Likewise y in
    (0, 2) and (2, 0).
    """
    p, jaw = mesh.vertices, jaw_weights(mesh)
    directions = np.zeros((len(p), 3, 36))

    def add(joint: int, plus: tuple[int, int], minus: tuple[int, int], field: np.ndarray) -> None:
        directions[:, :, _feature(joint, *plus)] += 0.5 * field
        directions[:, :, _feature(joint, *minus)] -= 0.5 * field

    skin = (mesh.part == SKIN)[:, None]
    add(JAW, (2, 1), (1, 2), both_sides(JAW_OPEN, p, jaw) * skin)
    add(JAW, (0, 2), (2, 0), both_sides(JAW_SIDE, p, jaw, -1.0) * skin)
    add(NECK, (2, 1), (1, 2), both_sides(NECK_NOD, p, jaw) * skin)
    add(NECK, (0, 2), (2, 0), both_sides(NECK_TURN, p, jaw, -1.0) * skin)
    lid = LID_FOLLOW * lid_closure(p, 0.0) * skin
    add(LEFT_EYE, (2, 1), (1, 2), lid)
    add(RIGHT_EYE, (2, 1), (1, 2), FLIP * lid[mesh.mirror])
    return directions
