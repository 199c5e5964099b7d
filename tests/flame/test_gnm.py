"""GNM heads in FLAME's form, against GNM's own formula written plainly."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from mfnet.cli.main import app
from mfnet.errors import InputError
from mfnet.flame import Flame, read_head
from mfnet.flame.gnm import reduction_loss
from mfnet.flame.readers import convert, read_fields

V, S, E = 300, 7, 9
NAMES = ["neck", "head", "left_eye", "right_eye"]


@pytest.fixture(scope="module")
def fields():
    """A head in the layout of GNM Head v3.0, of random numbers of a head's size."""
    rng = np.random.default_rng(0)
    weights = rng.random((4, V)) ** 4
    return {
        "version": np.array("3.0"),
        "variant": np.array("head"),
        "template_vertex_positions": 0.1 * rng.standard_normal((V, 3)).astype(np.float32),
        "vertex_identity_basis": 1e-3 * rng.standard_normal((S, V, 3)).astype(np.float32),
        "expression_basis": 1e-3 * rng.standard_normal((E, V, 3)).astype(np.float32),
        "skinning_weights": (weights / weights.sum(0)).astype(np.float32),
        "pose_correctives_regressor": 1e-3 * rng.standard_normal((36, 3 * V)).astype(np.float32),
        "triangles": rng.integers(0, V, (2 * V, 3)),
        "template_joint_positions": 0.1 * rng.standard_normal((4, 3)).astype(np.float32),
        "joint_identity_basis": 1e-3 * rng.standard_normal((S, 4, 3)).astype(np.float32),
        "joint_parent_indices": np.array([-1, 0, 1, 1]),
        "joint_names": np.array(NAMES),
        "identity_names": np.array([f"i{k}" for k in range(S)]),
        "expression_names": np.array([f"e{k}" for k in range(E)]),
    }


def write(folder, fields):
    path = folder / "gnm_head.npz"
    np.savez(path, **fields)
    return path


def formula(fields, shape, expression, pose):
    """GNM's vertices [V, 3]: linear rest shape, correctives of all four joints, linear blend skinning."""
    turns = Rotation.from_rotvec(pose).as_matrix()
    rest = fields["template_vertex_positions"] + np.tensordot(shape, fields["vertex_identity_basis"], 1)
    rest = rest + np.tensordot(expression, fields["expression_basis"], 1)
    rest = rest + ((turns - np.eye(3)).reshape(-1) @ fields["pose_correctives_regressor"]).reshape(V, 3)
    joints = fields["template_joint_positions"] + np.tensordot(shape, fields["joint_identity_basis"], 1)
    world = np.zeros((4, 4, 4))
    for joint, parent in enumerate(fields["joint_parent_indices"]):
        local = np.eye(4)
        local[:3, :3], local[:3, 3] = turns[joint], joints[joint] - (joints[parent] if parent >= 0 else 0)
        world[joint] = local if parent < 0 else world[parent] @ local
    moved = np.einsum("jab,jvb->jva", world[:, :3, :3], rest[None] - joints[:, None]) + world[:, None, :3, 3]
    return np.einsum("jv,jva->va", fields["skinning_weights"], moved)


def ours(head, shape, expression, pose):
    """The same by FLAME's formula: neck as the global joint, head as the neck."""
    flame = Flame(head, S, E).double()
    row = [torch.tensor(np.array(value, dtype=np.float64))[None] for value in (shape, expression, pose[0], pose[1])]
    out = flame(*row, jaw_pose=torch.zeros(1, 3).double(), eye_pose=torch.tensor(np.concatenate(pose[2:]))[None])
    return out.vertices[0].numpy()


def test_it_is_gnms_formula_while_the_root_does_not_turn(fields, tmp_path):
    head = read_head(write(tmp_path, fields))
    rng = np.random.default_rng(1)
    for _ in range(5):
        shape, expression, pose = rng.standard_normal(S), rng.standard_normal(E), 0.3 * rng.standard_normal((4, 3))
        pose[0] = 0
        assert np.abs(ours(head, shape, expression, pose) - formula(fields, shape, expression, pose)).max() < 1e-6


def test_a_turn_of_the_root_misses_its_correctives_alone(fields, tmp_path):
    head = read_head(write(tmp_path, fields))
    quiet = fields | {"pose_correctives_regressor": fields["pose_correctives_regressor"].copy()}
    quiet["pose_correctives_regressor"][:9] = 0
    rng = np.random.default_rng(2)
    shape, expression, pose = rng.standard_normal(S), rng.standard_normal(E), 0.3 * rng.standard_normal((4, 3))
    assert np.abs(ours(head, shape, expression, pose) - formula(quiet, shape, expression, pose)).max() < 1e-6


def test_joints_in_another_order_are_the_same_head(fields, tmp_path):
    order = [0, 2, 1, 3]  # the head after an eye
    back = np.argsort(order)
    shuffled = fields | {
        "joint_names": fields["joint_names"][order],
        "skinning_weights": fields["skinning_weights"][order],
        "template_joint_positions": fields["template_joint_positions"][order],
        "joint_identity_basis": fields["joint_identity_basis"][:, order],
        "joint_parent_indices": np.array([-1 if p < 0 else back[p] for p in fields["joint_parent_indices"][order]]),
        "pose_correctives_regressor": fields["pose_correctives_regressor"].reshape(4, 9, -1)[order].reshape(36, -1),
    }
    assert read_head(write(tmp_path, shuffled)).content_hash() == read_head(write(tmp_path, fields)).content_hash()


def test_the_loss_is_said_in_millimetres(fields, tmp_path):
    path = write(tmp_path, fields)
    loss = reduction_loss(read_fields(path), read_head(path), path)
    assert loss.joints < 1e-3 and 0.5 < loss.correctives < 10
    assert convert(path, tmp_path / "head.npz").loss == loss
    said = CliRunner().invoke(app, ["head", "convert", str(path), "-o", str(tmp_path / "head.npz")])
    assert said.exit_code == 0 and f"up to {loss.correctives:.2f} mm" in said.output
    assert read_head(tmp_path / "head.npz").provenance.licence == "Apache-2.0"


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("version", np.array("2.0"), "is not '3.0'"),
        ("variant", np.array("body"), "is not 'head'"),
        ("joint_names", np.array(["neck", "head", "jaw", "eye"]), "are not neck, head, left_eye, right_eye"),
        ("joint_parent_indices", np.array([-1, 0, 0, 1]), "is another tree"),
        ("skinning_weights", np.full((4, V), 0.5, np.float32), "do not sum to 1"),
        ("expression_basis", np.zeros((E, V + 1, 3), np.float32), "has shape"),
        ("pose_correctives_regressor", np.zeros((27, 3 * V), np.float32), "has shape"),
        ("triangles", np.full((4, 3), V), "index outside"),
    ],
)
def test_what_is_no_gnm_head_is_named(fields, tmp_path, name, value, line):
    with pytest.raises(InputError, match=rf"gnm_head\.npz: field '{name}' .*{line}"):
        read_head(write(tmp_path, fields | {name: value}))
