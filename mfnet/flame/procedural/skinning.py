"""FLAME's five joints: where they are, and how much of each the vertices follow."""

import numpy as np

from mfnet.flame.procedural.anatomy import CHIN, EYE, JAW_HINGE, MOUTH_CORNER, gaussian, mouth_line, smoothstep
from mfnet.flame.procedural.topology import EYEBALL, SKIN, HeadMesh

ROOT, NECK, JAW, LEFT_EYE, RIGHT_EYE = range(5)
KINTREE = np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], dtype=np.uint32)
"""FLAME's table: parents (the root's as -1 in unsigned), then joint ids."""

JOINT_SOURCES = {  # (y, z) about which the skin is averaged, standard deviations along y and z; metres
    ROOT: ((-0.142, -0.064), (0.010, 0.060)),
    NECK: ((-0.088, -0.060), (0.012, 0.030)),
    JAW: (tuple(JAW_HINGE[1:]), (0.012, 0.012)),
}


def jaw_weights(mesh: HeadMesh) -> np.ndarray:
    """How much of the jaw's rotation each vertex [V] follows: all on chin and lower lip, none above the mouth line.

    The step between the lips opens into a ramp that widens from the corners towards the hinge.
    """
    p = mesh.vertices
    x = np.abs(p[:, 0])
    hinge_to_corner = np.array([JAW_HINGE[1], float(mouth_line(np.array(MOUTH_CORNER)))])
    back = smoothstep(p[:, 2], 0.055, JAW_HINGE[2])
    line = np.where(x < MOUTH_CORNER, mouth_line(x), hinge_to_corner[1]) * (1.0 - back) + back * (
        hinge_to_corner[0] - 0.012
    )
    ramp = 0.5 + 0.5 * np.tanh((line - p[:, 1]) / (0.0085 + 0.006 * back))
    between = np.sqrt(np.clip(1.0 - (x / MOUTH_CORNER) ** 2, 0.0, 1.0)) * smoothstep(p[:, 2], 0.005, 0.030)
    below = np.where(mesh.side != 0, mesh.side < 0, p[:, 1] < line)
    vertical = ramp * (1.0 - between) + below * between
    front = smoothstep(p[:, 2], JAW_HINGE[2] - 0.014, JAW_HINGE[2] + 0.034)
    throat = smoothstep(p[:, 1] + 0.55 * np.clip(CHIN + 0.130 + p[:, 2], -1.0, 0.0), -0.118, -0.086)
    under = smoothstep(p[:, 2] + 0.4 * (p[:, 1] + 0.090), -0.015, 0.030)
    return vertical * front * np.minimum(throat, 1.0) * np.where(p[:, 1] < -0.080, under, 1.0)


def skinning_weights(mesh: HeadMesh) -> np.ndarray:
    """Weights [V, 5], rows summing to one. The neck's base fades into the neck joint, which the head follows."""
    p = mesh.vertices
    weights = np.zeros((len(p), 5))
    weights[:, JAW] = jaw_weights(mesh)
    weights[:, ROOT] = (1.0 - smoothstep(p[:, 1] - 0.3 * (p[:, 2] + 0.06), -0.158, -0.080)) * (1.0 - weights[:, JAW])
    weights[:, NECK] = 1.0 - weights[:, JAW] - weights[:, ROOT]
    ball = mesh.part == EYEBALL
    weights[ball] = 0.0
    weights[ball & (p[:, 0] > 0.0), LEFT_EYE] = 1.0
    weights[ball & (p[:, 0] < 0.0), RIGHT_EYE] = 1.0
    return weights


def joint_regressor(mesh: HeadMesh) -> np.ndarray:
    """Regressor [5, V] with rows summing to one: each joint is a smooth average of the vertices around it."""
    p = mesh.vertices
    regressor = np.zeros((5, len(p)))
    for joint, ((y, z), (sy, sz)) in JOINT_SOURCES.items():
        near = gaussian(p[:, 1], p[:, 2], y, z, sy, sz)
        regressor[joint] = np.where((mesh.part == SKIN) & (near > 1e-3), near, 0.0)
    ball = mesh.part == EYEBALL
    regressor[LEFT_EYE] = ball & (p[:, 0] > 0.0)
    regressor[RIGHT_EYE] = ball & (p[:, 0] < 0.0)
    return regressor / regressor.sum(1, keepdims=True)


def eye_centres() -> np.ndarray:
    """Centres [2, 3] of the left and right eyeballs."""
    return np.stack([EYE, EYE * np.array([-1.0, 1.0, 1.0])])
