"""FLAME's five joints from MakeHuman's rig: where they are, a sparse regressor, and skinning weights."""

import numpy as np

from scripts.makehuman.mesh import HeadMesh
from scripts.makehuman.source import Source

ROOT, NECK, JAW, LEFT_EYE, RIGHT_EYE = range(5)
JOINTS = {
    ROOT: {"joint-neck": 1.0},
    NECK: {"joint-neck": 0.35, "joint-head": 0.65},
    JAW: {"joint-mouth": 1.0},
}
"""Cubes of the rig whose centres mix to a joint; the eyes' joints are their balls' centres."""
NECK_SHARE = {"neck01": 0.4, "neck02": 0.8}
"""Of a bone's weight that follows the neck's joint, the rest stays with the root; bones above follow whole."""
NEAREST = 150
"""Vertices of the left half that may carry a joint."""
RIDGE = 1e-7
"""Square metres: keeps the regressor's weights small and spread."""


def joint_rows(source: Source) -> np.ndarray:
    """[3, V_base] mixtures of base vertices that are root, neck and jaw."""
    rows = np.zeros((3, len(source.vertices)))
    for joint, cubes in JOINTS.items():
        for cube, share in cubes.items():
            members = source.vertices_of(cube)
            rows[joint, members] += share / len(members)
    return rows


def joint_regressor(mesh: HeadMesh, mean: np.ndarray, directions: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """[5, V] symmetric weights, rows summing to 1, that find the joints of everybody.

    mean [V, 3] and directions [V, 3, N] of the head; joints [3, 3, 1 + N]: mean and directions of root, neck and jaw
    themselves (metres), which a ridge regression over the nearest vertices of the skin reproduces.
    """
    half = mesh.n_middle + mesh.n_side
    regressor = np.zeros((5, len(mean)))
    for joint, known in enumerate(joints):
        skin = np.flatnonzero(mesh.part[:half] == "skin")
        distance = np.linalg.norm(mean[skin][:, 1:] - known[1:, 0], axis=1)
        near = skin[np.lexsort((skin, np.round(distance, 9)))][:NEAREST]
        pairs = np.where(near < mesh.n_middle, 1.0, 2.0)
        # Only y and z: x is zero by symmetry, and a sideways joint of a crooked head is no matter.
        data = (
            np.concatenate([mean[near][:, 1:, None], directions[near][:, 1:]], 2).reshape(len(near), -1)
            * pairs[:, None]
        )
        data, wanted = np.c_[data, pairs], np.r_[known[1:].ravel(), 1.0]
        weights = data @ np.linalg.solve(data.T @ data + RIDGE * np.eye(data.shape[1]), wanted)
        weights /= weights @ pairs
        regressor[joint, near] = weights
        regressor[joint, mesh.mirror[near]] = weights
    balls = np.flatnonzero((mesh.part == "eye") & (np.diff(mesh.operator.indptr) == 1))  # the sphere's old vertices
    for joint, side in ((LEFT_EYE, balls[balls < half]), (RIGHT_EYE, balls[balls >= half])):
        regressor[joint, side] = 1 / len(side)
    return regressor


def skinning_weights(mesh: HeadMesh, source: Source) -> np.ndarray:
    """[V, 5] exactly symmetric, rows summing to 1: MakeHuman's own, its bones gathered under FLAME's joints."""
    base = np.zeros((len(source.vertices), 5))
    for bone, (vertices, weights) in source.bone_weights.items():
        chain = _chain(bone, source)
        if "jaw" in chain:
            base[vertices, JAW] += weights
        else:
            share = NECK_SHARE.get(bone, 1.0) if "neck01" in chain else 0.0
            base[vertices, NECK] += share * weights
            base[vertices, ROOT] += (1 - share) * weights
    weights = mesh.operator @ base
    for part, joint in (("upper_teeth", NECK), ("lower_teeth", JAW), ("tongue", JAW)):
        weights[mesh.part == part] = np.eye(5)[joint]
    weights = np.maximum(weights, 0)
    weights = 0.5 * (weights + weights[mesh.mirror])
    weights /= weights.sum(1, keepdims=True)
    ball = mesh.part == "eye"
    left = np.arange(len(ball)) < mesh.n_middle + mesh.n_side
    weights[ball & left], weights[ball & ~left] = np.eye(5)[LEFT_EYE], np.eye(5)[RIGHT_EYE]
    return weights


def _chain(bone: str | None, source: Source) -> list[str]:
    """A bone and those above it."""
    chain = []
    while bone:
        chain.append(bone)
        bone = source.bones[bone]["parent"]
    return chain
