"""Google's GNM Head v3 in FLAME's form.

GNM poses four joints (neck, head, eyes), has correctives of the root joint too, opens the mouth by expression, and
places its joints by directions of their own, which the expression does not move. In FLAME's form the neck is the global
joint, the head the neck, the jaw's joint moves nothing, and joints are weighted sums of vertices: weights that give the
very same joints exist where the directions are independent. What is lost is the root's correctives (`reduction_loss`).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from mfnet.errors import fail
from mfnet.flame.arrays import array_field, float_array, index_array
from mfnet.flame.head import MAX_COEFFICIENTS, MAX_FACES, MAX_VERTICES, N_JOINTS, HeadArrays
from mfnet.flame.provenance import Provenance

MARK = "template_vertex_positions"
"""A key that no file of FLAME's has."""
JOINTS = ("neck", "head", "left_eye", "right_eye")
PARENTS = (-1, 0, 1, 1)
PROVENANCE = Provenance("GNM Head v3.0", "Apache-2.0", "Google LLC")
TURN = 30.0
"""Degrees of the root's turn at which the loss is stated."""
_PLACE = [0, 1, 3, 4]  # of GNM's joints among FLAME's; the jaw is none of them


class ReductionLoss(NamedTuple):
    """What FLAME's form of a GNM head gets wrong, mm."""

    joints: float  # greatest distance of a joint, per coefficient of 1
    correctives: float  # greatest movement of a vertex that a turn of the root by `TURN` degrees about an axis misses


def is_gnm(fields: dict) -> bool:
    """Whether the fields of an npz are a GNM head's."""
    return MARK in fields


def head_from_gnm(fields: dict, path: str | Path) -> HeadArrays:
    """The head in FLAME's form, without landmarks and UV: all identity and all expression directions of the file.

    Raises InputError naming `path` and the field where the fields are not GNM Head 3.0's.
    """
    for name, expected in (("version", "3.0"), ("variant", "head")):
        if str(array_field(fields, name, (), path)) != expected:
            fail(path, name, f"is not '{expected}', the only GNM that is read")
    template = float_array(fields, MARK, (None, 3), path).astype(np.float64)
    count = len(template)
    if not 3 <= count <= MAX_VERTICES:
        fail(path, MARK, f"has {count} vertices, allowed are 3 to {MAX_VERTICES}")
    identity = _basis(fields, "vertex_identity_basis", count, path)
    expression = _basis(fields, "expression_basis", count, path)
    faces = index_array(fields, "triangles", (None, 3), count, path)
    if not 1 <= len(faces) <= MAX_FACES:
        fail(path, "triangles", f"has {len(faces)} faces, allowed are 1 to {MAX_FACES}")
    weights = np.zeros((count, N_JOINTS), np.float32)
    weights[:, _PLACE] = _weights(fields, count, path)
    posedirs = np.zeros((count, 3, 9 * (N_JOINTS - 1)), np.float32)
    correctives = _correctives(fields, count, path)
    for joint, place in list(enumerate(_PLACE))[1:]:
        posedirs[:, :, 9 * (place - 1) : 9 * place] = correctives[9 * joint : 9 * (joint + 1)].transpose(1, 2, 0)
    joints = _joints(fields, len(identity), path)
    regressor = np.zeros((N_JOINTS, count))
    found = _regressor(np.concatenate([template[None], identity, expression]), joints)
    regressor[_PLACE] = found
    regressor[2] = found[1]  # the jaw, which moves nothing, sits in the head's joint
    return HeadArrays(
        v_template=template.astype(np.float32),
        shapedirs=np.concatenate([identity, expression]).transpose(1, 2, 0).astype(np.float32),
        posedirs=posedirs,
        joint_regressor=regressor,
        weights=weights,
        faces=faces,
        parents=np.array([-1, 0, 1, 1, 1]),
        n_shape_total=len(identity),
        provenance=PROVENANCE,
    )


def reduction_loss(fields: dict, head: HeadArrays, path: str | Path) -> ReductionLoss:
    """What `head`, made by `head_from_gnm` of `fields`, gets wrong."""
    count, n_shape = len(head.v_template), head.n_shape_total
    wanted = _joints(fields, n_shape, path)
    directions = np.concatenate([head.v_template[..., None], head.shapedirs], 2).astype(np.float64)
    got = np.einsum("jv,vcb->bjc", head.joint_regressor[_PLACE], directions)
    missed = got.copy()
    missed[: n_shape + 1] -= wanted
    turns = Rotation.from_rotvec(np.radians(TURN) * np.concatenate([np.eye(3), -np.eye(3)])).as_matrix()
    moved = np.einsum("tk,kvc->tvc", (turns - np.eye(3)).reshape(-1, 9), _correctives(fields, count, path)[:9])
    return ReductionLoss(*(1000 * float(np.linalg.norm(part, axis=-1).max()) for part in (missed, moved)))


def _regressor(directions: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Weights [4, V] of least norm, each row of sum 1, that give the joints and keep them under every expression.

    directions [1 + S + E, V, 3]: template, identity, expression; joints [1 + S, 4, 3] of the first ones.
    """
    count = directions.shape[1]
    wanted = np.zeros((len(directions), len(JOINTS), 3))
    wanted[: len(joints)] = joints
    system = np.concatenate([directions.transpose(0, 2, 1).reshape(-1, count), np.ones((1, count))])
    right = np.concatenate([wanted.transpose(0, 2, 1).reshape(-1, len(JOINTS)), np.ones((1, len(JOINTS)))])
    scale = np.linalg.norm(system, axis=1, keepdims=True).clip(1e-12)  # a small direction counts as much as a large one
    system, right = system / scale, right / scale
    inverse = np.linalg.pinv(system @ system.T, rcond=1e-13, hermitian=True)
    solution = system.T @ (inverse @ right)
    solution += system.T @ (inverse @ (right - system @ solution))  # what squaring the system cost
    return solution.T


def _basis(fields: dict, name: str, count: int, path: str | Path) -> np.ndarray:
    """Directions [N, V, 3] in metres."""
    basis = float_array(fields, name, (None, count, 3), path)
    if not 1 <= len(basis) <= MAX_COEFFICIENTS:
        fail(path, name, f"has {len(basis)} directions, allowed are 1 to {MAX_COEFFICIENTS}")
    return basis.astype(np.float64)


def _order(fields: dict, path: str | Path) -> list[int]:
    """Where the file keeps each of `JOINTS`. Raises InputError for other joints, or another tree of them."""
    names = [str(name) for name in array_field(fields, "joint_names", (len(JOINTS),), path).tolist()]
    if sorted(names) != sorted(JOINTS):
        fail(path, "joint_names", f"are not {', '.join(JOINTS)}")
    order = [names.index(name) for name in JOINTS]
    parents = array_field(fields, "joint_parent_indices", (len(JOINTS),), path)
    expected = [-1 if parent < 0 else order[parent] for parent in PARENTS]
    if parents.dtype.kind not in "iu" or [int(parents[joint]) for joint in order] != expected:
        fail(path, "joint_parent_indices", "is another tree than the neck's, head's and eyes'")
    return order


def _weights(fields: dict, count: int, path: str | Path) -> np.ndarray:
    """Skinning weights [V, 4]."""
    weights = float_array(fields, "skinning_weights", (len(JOINTS), count), path)[_order(fields, path)].T
    if weights.min() < -1e-3 or np.abs(weights.sum(1, dtype=np.float64) - 1).max() > 1e-3:
        fail(path, "skinning_weights", "has weights below 0, or columns that do not sum to 1")
    return weights


def _correctives(fields: dict, count: int, path: str | Path) -> np.ndarray:
    """Movement [36, V, 3] per unit of (R - I), in the order of `JOINTS`, row by row."""
    table = float_array(fields, "pose_correctives_regressor", (9 * len(JOINTS), 3 * count), path)
    by_joint = table.reshape(len(JOINTS), 9, count, 3)[_order(fields, path)]
    return by_joint.reshape(-1, count, 3).astype(np.float64)


def _joints(fields: dict, n_shape: int, path: str | Path) -> np.ndarray:
    """`JOINTS` [1 + S, 4, 3] of the template, then per coefficient."""
    template = float_array(fields, "template_joint_positions", (len(JOINTS), 3), path)
    basis = float_array(fields, "joint_identity_basis", (n_shape, len(JOINTS), 3), path)
    return np.concatenate([template[None], basis]).astype(np.float64)[:, _order(fields, path)]
