"""Refinement from a rough answer, on rendered people whose parameters are known."""

from dataclasses import replace

import pytest
import torch

from mfnet.losses.heads import decode
from mfnet.nets.flow import DisFlow
from mfnet.nets.mfnet import Prediction
from mfnet.training.pretrain_encoder import decode_face, face_error
from mfnet.training.refine import CHUNK, RefineSettings, _huber_root, _Problem, correspondences, refine
from tests.losses.scenes import rendered_scene

QUICK = RefineSettings(iterations=3, flow_iterations=1, spacing=8)


def person(parameters, item: int) -> Prediction:
    """One person of the scene as a network's answer."""
    one = {name: value[item : item + 1] for name, value in vars(parameters).items()}
    shared = (one[name][:, 0] for name in ("shape", "expression", "jaw_pose"))
    return Prediction(*shared, one["global_pose"], one["camera"], one["albedo"], one["light"])


@pytest.fixture(scope="module")
def scene():
    return rendered_scene()


@pytest.fixture(scope="module")
def rough(scene) -> Prediction:
    """Person 0: true pose and camera a little off, the shape a quarter known, no expression."""
    parameters = scene.disturbed(0.2)
    quarter = replace(parameters, shape=0.25 * scene.truth.shape, expression=0 * scene.truth.expression)
    return person(quarter, 0)


def errors(flame, scene, prediction: Prediction) -> float:
    """Face error in mm after scale and translation."""
    truth = person(scene.truth, 0)
    found = decode_face(flame, prediction.shape, prediction.expression, prediction.jaw_pose)
    return face_error(found, decode_face(flame, truth.shape, truth.expression, truth.jaw_pose)).item()


@pytest.fixture(scope="module")
def refined(flame, scene, rough):
    """Person 0 refined on all three views."""
    batch = scene.batch
    return refine(flame, rough, batch.pixels()[0], batch.landmarks[0], DisFlow().flow, QUICK)


def test_refinement_comes_nearer_and_knows_how_far_it_may_be_off(flame, scene, rough, refined):
    before, after = errors(flame, scene, rough), errors(flame, scene, refined.prediction)
    assert after < 0.75 * before
    sigma = 1000 * refined.vertex_sigma[flame.masks["face"]]
    assert 0.2 * after < sigma.mean() < 5 * after


def test_one_view_is_refined_by_landmarks_and_leaves_more_uncertain(flame, scene, rough, refined):
    batch = scene.batch
    single = replace(rough, **{n: getattr(rough, n)[:, :1] for n in ("global_pose", "camera", "albedo", "light")})
    once = refine(flame, single, batch.pixels()[0, :1], batch.landmarks[0, :1], DisFlow().flow, QUICK)
    assert errors(flame, scene, once.prediction) < errors(flame, scene, rough)
    face = flame.masks["face"]
    assert once.vertex_sigma[face].mean() > refined.vertex_sigma[face].mean()


def test_the_distance_of_a_near_camera_is_noticed(flame, scene):
    """Fitted to landmarks alone, from the truth's codes: nearer for a camera at arm's length than for one far away."""
    found = {}
    for distance in (0.4, None):
        seen = rendered_scene(distance)
        start = person(seen.truth, 0)
        found[distance] = refine(flame, start, None, seen.batch.landmarks[0], None, QUICK).closeness
    assert found[0.4].shape == (3,) and (found[None] >= 0).all()
    assert (found[0.4] > 2 * found[None]).all() and found[0.4].mean() > 1.2


def test_correspondences_lie_where_the_points_truly_are(flame, scene):
    """At the truth flow finds the points where they are: targets equal the projections."""
    truth, batch = person(scene.truth, 0), scene.batch
    problem = _Problem(flame, truth, batch.landmarks[0], replace(QUICK, closeness=1e-6))
    found = correspondences(problem, problem.start, batch.pixels()[0], DisFlow().flow, spacing=4)
    projected = decode(flame, scene.truth).projected[0, :, :, :2]
    assert len(found.view_b) > 200 and sorted(found.view_b.unique().tolist()) == [0, 1, 2]
    for view, place, pixels in ((found.view_b, found.target, 0.2), (found.view_a, found.origin, 0.01)):
        points = (projected[view[:, None], found.corners] * found.weights[..., None]).sum(1)
        assert (points - place).norm(dim=-1).median() < pixels * 2 / 128


def test_the_differences_are_the_derivatives(flame, scene, rough):
    """The Jacobian predicts what a small step does to the residuals."""
    problem = _Problem(flame, rough, scene.batch.landmarks[0], QUICK)
    value, jacobian = problem.linearised(problem.start, None)
    step = 0.5 * problem.difference * torch.randn(len(problem.start), generator=torch.Generator().manual_seed(0))
    predicted, true = jacobian @ step, problem.residuals((problem.start + step)[None], None)[0] - value
    assert (predicted - true).norm() < 0.05 * true.norm()
    assert len(problem.start) > CHUNK  # so the chunks were joined


def test_huber_counts_far_residuals_linearly():
    residuals = torch.tensor([-1.0, 1.5, 2.0, 4.0, -10.0])
    cost = _huber_root(residuals, 2.0).square()
    assert torch.allclose(cost, torch.tensor([1.0, 2.25, 4.0, 12.0, 36.0]))
    assert (_huber_root(residuals, 2.0).sign() == residuals.sign()).all()
