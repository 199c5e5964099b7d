"""Refinement from a rough answer, on rendered people whose parameters are known."""

import pytest
import torch

from mfnet.fitting.correspondences import Correspondences
from mfnet.fitting.refine import CHUNK, FitProblem, FlowEvidence, damped_step, huber_root, refine
from mfnet.flow import DisFlow
from mfnet.landmarks.ibug import EYE_PAIRS, LIP_PAIRS
from mfnet.model.parameters import Prediction
from mfnet.model.projection import decode
from mfnet.pretraining.figures import decode_face, face_error
from tests.losses.scenes import rendered_scene, with_codes
from tests.settings import EMBEDDED, having

QUICK = having(EMBEDDED.refine, iterations=3, flow_iterations=1, spacing=8)


@pytest.fixture(scope="module")
def scene():
    return rendered_scene()


@pytest.fixture(scope="module")
def rough(scene) -> Prediction:
    """Person 0: true pose and camera a little off, the shape a quarter known, no expression."""
    truth = scene.truth.person
    return with_codes(scene.disturbed(0.2), shape=0.25 * truth.shape, expression=0 * truth.expression)[:1]


def errors(flame, scene, prediction: Prediction) -> float:
    """Face error in mm after scale and translation."""
    return face_error(decode_face(flame, prediction.person), decode_face(flame, scene.truth.person[:1])).item()


@pytest.fixture(scope="module")
def refined(flame, scene, rough):
    """Person 0 refined on all three views."""
    batch = scene.batch
    return refine(flame, rough, batch.landmarks[0], FlowEvidence(DisFlow().flow, batch.pixels()[0]), QUICK)


def test_refinement_comes_nearer_and_knows_how_far_it_may_be_off(flame, scene, rough, refined):
    before, after = errors(flame, scene, rough), errors(flame, scene, refined.prediction)
    assert after < 0.75 * before
    sigma = 1000 * refined.vertex_sigma[flame.masks["face"]]
    assert 0.2 * after < sigma.mean() < 5 * after


def test_one_view_is_refined_by_landmarks_and_leaves_more_uncertain(flame, scene, rough, refined):
    batch = scene.batch
    once = refine(
        flame, rough.of_view(0), batch.landmarks[0, :1], FlowEvidence(DisFlow().flow, batch.pixels()[0, :1]), QUICK
    )
    assert errors(flame, scene, once.prediction) < errors(flame, scene, rough)
    face = flame.masks["face"]
    assert once.vertex_sigma[face].mean() > refined.vertex_sigma[face].mean()


def test_the_distance_of_a_near_camera_is_noticed(flame, scene):
    """Fitted to landmarks alone, from the truth's codes: nearer for a camera at arm's length than for one far away."""
    found = {}
    for distance in (0.4, None):
        seen = rendered_scene(distance)
        fit = refine(flame, seen.truth[:1], seen.batch.landmarks[0], None, QUICK)
        found[distance] = fit.prediction.views.inverse_distance[0]
    assert found[0.4].shape == (3,) and (found[None] >= 0).all()
    assert (found[0.4] > 2 * found[None]).all() and found[0.4].mean() > 1.2


def plain_cost(flame, problem: FitProblem, unknowns: torch.Tensor, flow: Correspondences) -> torch.Tensor:
    """The sum of all squared residuals, written out."""
    settings, network, found = problem.settings, problem.layout.network, problem.layout.prediction(unknowns[None])
    heads, person, views = decode(flame, found), found.person, found.views
    error = (heads.landmarks[0] - problem.landmarks) * problem.visible[..., None]
    pairs = [(error[:, i] - error[:, j]) / settings.opening for i, j in EYE_PAIRS + LIP_PAIRS]
    points, pieces = heads.projected[0, ..., :2], []
    for a, b, corners, weights, origin, target, slide in zip(*flow.tensors(), strict=True):
        off_a, off_b = (weights @ points[v, corners] - place for v, place in ((a, origin), (b, target)))
        pieces.append((off_b - slide @ off_a) / settings.flow)
    images = (error[:, :17] / settings.contour, error[:, 17:] / settings.landmark, *pairs, *pieces)
    size = torch.cat([part.flatten() for part in images]).abs()
    far = 2 * settings.robust * size - settings.robust**2
    priors = (
        person.shape / settings.coefficient,
        person.expression / settings.coefficient,
        (person.shape - network.person.shape) / settings.network,
        (person.expression - network.person.expression) / settings.network,
        (person.jaw_pose - network.person.jaw_pose) / settings.pose,
        (views.global_pose - network.views.global_pose) / settings.pose,
        (views.camera[..., 0] / network.views.camera[..., 0] - 1) / settings.camera,
        (views.camera[..., 1:] - network.views.camera[..., 1:]) / (0.1 * settings.camera),
        (views.inverse_distance - settings.inverse_distance) / settings.inverse_distance,
    )
    return torch.where(size <= settings.robust, size**2, far).sum() + sum(prior.square().sum() for prior in priors)


def test_the_cost_is_the_sum_of_what_is_measured_and_what_is_believed(flame, scene):
    generator, state = torch.Generator().manual_seed(0), scene.disturbed(0.2)
    item = int(decode(flame, state).visible.sum((1, 2)).argmin())  # some landmarks are hidden
    problem = FitProblem(flame, state[item : item + 1], scene.batch.landmarks[item], QUICK)
    unknowns = problem.start + 0.3 * problem.start_sigma * torch.randn(problem.start.shape, generator=generator)
    corners = torch.tensor([[100, 200, 300], [400, 500, 600]])
    places, slide = torch.rand(2, 2, 2, generator=generator) - 0.5, torch.rand(2, 2, 2, generator=generator) + 0.5
    flow = Correspondences(torch.tensor([0, 2]), torch.tensor([1, 0]), corners, torch.eye(3)[1:], *places, slide)
    found = problem.residuals(unknowns[None], flow).square().sum()
    torch.testing.assert_close(found, plain_cost(flame, problem, unknowns, flow), rtol=1e-4, atol=0)
    assert (problem.visible == 0).any()


class Bent:
    """Stands for a problem whose full Gauss-Newton step overshoots: the residual is the arc tangent of x."""

    def residuals(self, unknowns, flow):
        return unknowns.atan()

    def linearised(self, unknowns, flow):
        return unknowns.atan(), (1 / (1 + unknowns**2)).diag()


def test_a_step_that_overshoots_is_damped_until_the_cost_falls():
    unknowns, damping = torch.tensor([3.0]), 1e-3
    for _ in range(8):
        moved, damping = damped_step(Bent(), unknowns, None, damping)
        assert moved.abs() < unknowns.abs()
        unknowns = moved
    assert unknowns.abs() < 1e-3
    still, _ = damped_step(Bent(), torch.zeros(1), None, damping)
    assert still == 0


def test_a_camera_is_never_beyond_infinity(flame, scene):
    """Landmarks in which near things look smaller: orthography is the nearest that there is."""
    impossible = decode(flame, scene.truth.with_inverse_distance(-2.0)).landmarks[0]
    found = refine(flame, scene.truth[:1], impossible, None, having(QUICK, iterations=2))
    assert (found.prediction.views.inverse_distance == 0).all()


def test_the_differences_are_the_derivatives(flame, scene, rough):
    """The Jacobian predicts what a small step does to the residuals."""
    problem = FitProblem(flame, rough, scene.batch.landmarks[0], QUICK)
    value, jacobian = problem.linearised(problem.start, None)
    step = 0.5 * problem.difference * torch.randn(len(problem.start), generator=torch.Generator().manual_seed(0))
    predicted, true = jacobian @ step, problem.residuals((problem.start + step)[None], None)[0] - value
    assert (predicted - true).norm() < 0.05 * true.norm()
    assert len(problem.start) > CHUNK  # so the chunks were joined


def test_huber_counts_far_residuals_linearly():
    residuals = torch.tensor([-1.0, 1.5, 2.0, 4.0, -10.0])
    cost = huber_root(residuals, 2.0).square()
    assert torch.allclose(cost, torch.tensor([1.0, 2.25, 4.0, 12.0, 36.0]))
    assert (huber_root(residuals, 2.0).sign() == residuals.sign()).all()
