"""The procedural head as a mesh and as a model: what issue 2 promises of it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mfnet.flame import Flame, load_flame
from mfnet.flame.procedural import head_arrays
from mfnet.flame.procedural.expression import NAMES
from mfnet.flame.procedural.topology import EYEBALL, make_mesh
from mfnet.landmarks.ibug import MIRRORED

ROOT = Path(__file__).parents[2]
FLIP = np.array([-1.0, 1.0, 1.0], np.float32)


@pytest.fixture(scope="module")
def mesh():
    return make_mesh(0)


@pytest.fixture(scope="module")
def head():
    return head_arrays(0)


@pytest.fixture(scope="module")
def flame(head):
    return Flame(head, 100, 50)


def decode(flame, shape=None, expression=None, jaw=None, pose=None):
    """Output of one head; coefficients and axis-angles as numpy, None for zero."""
    values = [(shape, 100), (expression, 50), (pose, 3), (None, 3), (jaw, 3)]
    tensors = [torch.zeros(1, n) if v is None else torch.as_tensor(v, dtype=torch.float32)[None] for v, n in values]
    with torch.no_grad():
        return flame(*tensors)


def corners(head):
    return head.v_template[head.faces].astype(np.float64)


def embedded(head, faces, weights):
    return (corners(head)[faces] * weights[..., None]).sum(-2)


def directed_edges(faces):
    return np.concatenate([faces[:, [k, (k + 1) % 3]] for k in range(3)])


def test_mirrored_landmarks_mirror(flame):
    order = np.array(MIRRORED)
    assert np.array_equal(order[order], np.arange(68))
    points = decode(flame).landmarks[0].numpy()
    assert np.abs(points * FLIP - points[order]).max() < 0.002


def test_surface_is_closed_oriented_and_of_three_spheres(head, mesh):
    edges = directed_edges(head.faces)
    forward = {tuple(edge) for edge in edges.tolist()}
    assert len(forward) == len(edges)  # no edge twice in the same direction
    assert all((b, a) in forward for a, b in forward)  # and each once in the other one
    a, b, c = corners(head).transpose(1, 0, 2)
    for part in (mesh.part != EYEBALL, (mesh.part == EYEBALL) & (mesh.vertices[:, 0] > 0)):
        inside = part[head.faces].all(1)
        euler = part.sum() - len(edges[part[edges].all(1)]) // 2 + inside.sum()
        assert euler == 2
        assert (a * np.cross(b, c)).sum(-1)[inside].sum() > 0  # normals point outwards


def test_size_is_a_head_of_about_5000_vertices(head, mesh):
    assert 4500 < len(head.v_template) < 5500
    width, _, depth = np.ptp(head.v_template[mesh.part != EYEBALL], axis=0)
    assert 0.15 < width < 0.19  # with ears
    assert 0.18 < depth < 0.24
    chin = embedded(head, head.landmarks.full_faces, head.landmarks.full_weights)[8]
    assert 0.21 < head.v_template[:, 1].max() - chin[1] < 0.26
    area = np.linalg.norm(np.cross(*(corners(head)[:, k] - corners(head)[:, 0] for k in (1, 2))), axis=-1) / 2
    assert area.min() > 1e-9


def test_average_head_is_its_mirror_image(head, mesh):
    assert np.array_equal(head.v_template[mesh.mirror], head.v_template * FLIP)
    assert np.allclose(head.weights[mesh.mirror][:, [0, 1, 2, 4, 3]], head.weights, atol=1e-7)


def test_eyeballs_stay_behind_the_lids_of_random_people(flame, mesh):
    shapes = np.random.default_rng(3).normal(size=(24, 100))
    ball = (mesh.part == EYEBALL) & (mesh.vertices[:, 0] > 0)
    lid = np.unique(mesh.lid[0])
    for shape in shapes:
        output = decode(flame, shape)
        vertices, eye = output.vertices[0].numpy(), output.joints[0, 3].numpy()
        radius = np.linalg.norm(vertices[ball] - eye, axis=-1).max()
        assert np.linalg.norm(vertices[lid] - eye, axis=-1).min() > radius - 3e-4


def test_joints_lie_where_flame_has_them(head):
    joints = head.joint_regressor.astype(np.float64) @ head.v_template
    assert np.allclose(head.joint_regressor.sum(1), 1, atol=1e-6)
    assert np.allclose(joints[:3, 0], 0, atol=1e-6)
    assert joints[0, 1] < joints[1, 1] < joints[2, 1]  # neck's base, neck, jaw hinge
    assert joints[3, 0] > 0.028 and np.allclose(joints[4], joints[3] * FLIP, atol=1e-6)
    assert head.parents.tolist() == [-1, 0, 1, 1, 1]
    assert head.weights.min() >= 0 and np.allclose(head.weights.sum(1), 1, atol=3e-7)


def test_jaw_opens_the_mouth_and_leaves_the_upper_face(flame, head):
    closed, opened = (decode(flame, jaw=[angle, 0, 0]) for angle in (0.0, 0.3))
    upper, lower = 62, 66
    gap = [float(o.landmarks[0, upper, 1] - o.landmarks[0, lower, 1]) for o in (closed, opened)]
    assert abs(gap[0]) < 1e-3
    assert gap[1] > 0.018
    still = torch.linalg.norm(opened.landmarks - closed.landmarks, dim=-1)[0]
    assert still[17:48].max() < 1e-3  # brows, nose, eyes
    assert still[8] > 0.02  # chin


def test_neighbours_have_similar_weights_but_across_the_lips(head, mesh):
    edges = directed_edges(head.faces)
    length = np.linalg.norm(np.diff(head.v_template[edges], axis=1)[:, 0], axis=-1)
    step = np.abs(np.diff(head.weights[edges], axis=1)[:, 0]).max(-1)
    skin = (mesh.part[edges] == 0).all(1)
    assert (step / np.maximum(length, 1e-3))[skin].max() < 250  # a quarter per millimetre, at the corners of the mouth


def test_shape_has_the_size_of_real_faces(head, mesh):
    from mfnet.flame.procedural.shape import face_measure, face_region

    shape = head.shapedirs[:, :, : head.n_shape_total].astype(np.float64)
    face = face_region(mesh)
    spread = 1e3 * np.sqrt((shape[face] ** 2).sum((1, 2)))
    assert spread.mean() == pytest.approx(4.1, abs=0.05)  # scanned heads: 4.09 mm
    assert spread.min() > 2 and spread.max() < 10  # scanned heads: 2.0 and 10.1 mm
    energy = (shape[face] ** 2).sum(1).mean(0)
    assert (np.diff(energy) <= 1e-13).all()
    assert 0.3 < energy[0] / energy.sum() < 0.55  # scanned heads: 0.42
    assert 0.85 < energy[:20].sum() / energy.sum() < 0.99  # scanned heads: 0.90
    weighted = (shape * np.sqrt(face_measure(mesh))[:, None, None]).reshape(-1, shape.shape[2])
    gram = weighted.T @ weighted
    cosine = gram / np.sqrt(np.outer(gram.diagonal(), gram.diagonal()))
    assert np.abs(cosine - np.eye(len(cosine))).max() < 1e-3  # the grid leaves this much


def test_shape_and_expression_directions_are_even_or_odd(head, mesh):
    directions = head.shapedirs.astype(np.float64)
    mirrored = directions[mesh.mirror] * FLIP[:, None]
    parity = (directions * mirrored).sum((0, 1)) / (directions**2).sum((0, 1))
    assert np.allclose(np.abs(parity), 1, atol=1e-5)
    odd = (parity < 0).reshape(-1)
    assert 0.1 < odd[:100].mean() < 0.4
    assert 0.1 < odd[100:].mean() < 0.5


def test_expressions_of_one_sigma_are_mild_and_stay_on_the_face(head, flame):
    directions = head.shapedirs[:, :, 100:].astype(np.float64)
    spread = 1e3 * np.sqrt((directions**2).sum((1, 2)))
    assert 3 < spread[head.masks["lips"]].mean() < 8  # the sum of 50; a single one moves the lips by 1 to 4 mm
    assert (1e3 * np.sqrt((directions**2).sum(1)).max(0) < 5.5).all()
    assert spread[head.masks["scalp"]].max() < 0.5
    largest = 1e3 * np.sqrt((directions**2).sum(1)).max(0)
    assert (largest[: len(NAMES)] > 0.2).all()  # no named action is empty


def test_pose_correctives_are_small_and_vanish_at_rest(head, flame):
    assert np.abs(head.posedirs).max() < 6e-3
    rest = decode(flame).vertices[0].numpy()
    assert np.allclose(rest, head.v_template, atol=1e-6)


def test_masks_cover_what_they_name(head, mesh):
    masks = head.masks
    assert {"face", "eyes", "lips", "neck", "ears", "scalp", "eyeballs"} <= set(masks)
    full = head.faces[head.landmarks.full_faces]
    assert masks["lips"][full[48:60]].any(1).all() and not masks["lips"][full[:48]].any()
    assert masks["eyes"][full[36:48]].any(1).all()
    assert masks["face"][full[17:68]].any(1).all()
    assert np.array_equal(masks["eyeballs"], mesh.part == EYEBALL)
    assert not (masks["face"] & (masks["neck"] | masks["scalp"] | masks["ears"] | masks["eyeballs"])).any()
    for mask in masks.values():
        assert np.array_equal(mask, mask[mesh.mirror])


@pytest.mark.slow
def test_another_process_with_plainer_instructions_writes_the_same_head(head, tmp_path):
    """The hash that trained networks carry must not depend on the processor: numpy's vector units are switched off."""
    plain = {"NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3 AVX512F AVX512_SKX AVX512_ICL AVX512_SPR AVX2 FMA3"}
    command = [sys.executable, "-W", "ignore", "-m", "stages.head", "--params", "params.yaml", "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env=os.environ | plain, check=True)
    files = [tmp_path / name for name in ("head.npz", "landmarks.npz", "template.obj")]
    again = load_flame(*files)
    assert again.content_hash == head.content_hash()
    with np.load(files[0], allow_pickle=False) as stored:
        for name in ("v_template", "shapedirs", "posedirs", "weights", "uv", "uv_faces"):
            assert np.array_equal(stored[name], getattr(head, name)), name
    with np.load(files[1], allow_pickle=False) as stored:
        assert np.array_equal(stored["dynamic_lmk_bary_coords"], head.landmarks.dynamic_weights)
