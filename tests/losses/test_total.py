"""Eq. 11: what each term of a batch looks at, how the terms are weighed, and what each contributes."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from mfnet.errors import InputError
from mfnet.flow import DisFlow
from mfnet.geometry import axis_angle_to_matrix
from mfnet.losses.eye_lip import eye_loss, lip_loss
from mfnet.losses.landmarks import landmark_loss
from mfnet.losses.multiview import MultiviewFlow, cross_pairs
from mfnet.losses.regularisation import regularisation_loss
from mfnet.losses.total import Objective, gradient_shares, single_view_shapes, total_loss
from mfnet.model.projection import decode
from mfnet.model.rig import KnownCameras, with_known_cameras, with_known_distance
from tests.losses.scenes import rendered_scene, with_codes
from tests.losses.test_multiview import PARAMS
from tests.settings import PAPER_TERMS


def objective(flame, **changes) -> Objective:
    return Objective(flame, PARAMS.model_copy(update=changes), 50, DisFlow().flow)


@pytest.fixture(scope="module")
def state(scene):
    """A little off the truth in all that the terms look at."""
    albedo = torch.randn(4, 3, 50, generator=torch.Generator().manual_seed(0))
    return with_codes(scene.disturbed(0.2), albedo=albedo).per_view()


@pytest.mark.parametrize("position", [0, 1])
def test_terms_are_those_of_their_equations(flame, scene, state, position):
    """On the heads as cameras 1.2 m away see them, by the pairs of the step, over what each view sees."""
    batch, this = scene.batch, objective(flame, camera_distance=1.2)
    heads = decode(flame, state.with_inverse_distance(1 / 1.2))
    points = batch.landmarks, heads.landmarks, heads.visible
    pairs = cross_pairs(4, 3, position)
    expected = {
        "flow": MultiviewFlow(flame, this.params, DisFlow().flow)(heads, batch.pixels(), points[0], pairs),
        "landmarks": landmark_loss(*points),
        "eye": eye_loss(*points),
        "lip": lip_loss(*points),
        "regularisation": regularisation_loss(state.person.shape, state.person.expression, state.views.albedo),
    }
    found = this(state, batch, position)
    assert tuple(found) == PAPER_TERMS and 0 < heads.visible.mean() < 1
    torch.testing.assert_close(found, expected)


def test_terms_without_weight_are_measured_and_not_trained(flame, scene, state):
    this = objective(flame, flow=0.0, eye=0.0, regularisation=0.0)
    assert set(this(state, scene.batch, 0)) == {"landmarks", "lip"}
    assert set(this.measure(state, scene.batch, 0)[0]) == set(PAPER_TERMS)
    without = objective(flame, flow_gradient="none")
    assert "flow" not in without(state, scene.batch, 0) and "flow" not in without.measure(state, scene.batch, 0)[0]


def test_the_total_is_the_weighted_sum_and_terms_without_weight_pass_no_gradient():
    weights = PARAMS.model_copy(update={"flow": 2.0, "landmarks": 3.0, "eye": 0.5, "lip": 0.0, "regularisation": 0.1})
    values = torch.tensor([1.0, 10.0, 100.0, 1000.0, 10000.0], requires_grad=True)
    total = total_loss(dict(zip(PAPER_TERMS, values, strict=True)), weights)
    assert total.item() == pytest.approx(2 + 30 + 50 + 1000)
    total.backward()
    torch.testing.assert_close(values.grad, torch.tensor([2.0, 3.0, 0.5, 0.0, 0.1]))


def test_shares_are_those_of_the_norms_of_the_weighted_gradients():
    """Norms 3 x |(3, 4)| = 15 over both codes, 0.5 x 10 = 5, and nothing without weight or gradient."""
    weights = PARAMS.model_copy(update={"landmarks": 3.0, "eye": 0.5, "lip": 0.0})
    a, b = torch.ones(1, requires_grad=True), torch.ones(2, requires_grad=True)
    terms = {"landmarks": (3 * a).sum() + 4 * b[0], "eye": 10 * b[1], "lip": b.sum(), "flow": torch.ones(())}
    shares = gradient_shares(terms, weights, [a, b])
    assert shares == pytest.approx({"landmarks": 0.75, "eye": 0.25, "lip": 0.0, "flow": 0.0})


class Bright:
    """Stands for a network: the shape is the brightness of the views, which must be one and the same photograph."""

    def __init__(self, fusion: str, views: int):
        self.params = SimpleNamespace(fusion=fusion, views=views)
        self.slots = views if fusion == "concat" else 1

    def __call__(self, images):
        assert images.shape[1] == self.slots and torch.equal(images, images[:, :1].expand_as(images))
        return SimpleNamespace(person=SimpleNamespace(shape=images.mean((1, 3, 4))))


@pytest.mark.parametrize(("fusion", "views"), [("concat", 1), ("concat", 2), ("concat", 3), ("set", 3)])
def test_single_view_shapes_are_those_of_each_photograph_alone(scene, fusion, views):
    shapes = single_view_shapes(Bright(fusion, views), scene.batch)
    shown = views if views > 1 else 3
    torch.testing.assert_close(shapes, scene.batch.pixels()[:, :shown].mean((3, 4)))


def test_consistency_knows_people_by_subject(flame, scene, state):
    this = objective(flame, **dict.fromkeys(PAPER_TERMS, 0.0), shape_consistency=1.0)
    network = Bright("concat", 3)
    assert set(this(state, scene.batch, 0, network)) == {"shape_consistency"}
    assert this(state, scene.batch, 0, network)["shape_consistency"] > 0
    same = replace(scene.batch, subject=torch.zeros_like(scene.batch.subject))
    assert this(state, same, 0, network)["shape_consistency"] == 0  # nobody else in the batch


def rig_of(flame, truth) -> KnownCameras:
    """Cameras that see every head, its root in the world's origin, as its views do."""
    views, person = truth.views, truth.person.map(lambda code: code.flatten(0, 1))
    pose = views.global_pose.flatten(0, 1)
    output = flame(person.shape, person.expression, pose, jaw_pose=person.jaw_pose)
    root = output.joints[:, 0].unflatten(0, views.camera.shape[:2])
    depth = output.landmarks[..., 2].mean(-1).unflatten(0, views.camera.shape[:2])
    distance = 1 / views.inverse_distance
    shift = torch.cat([views.camera[..., 1:], -(distance + depth)[..., None]], -1)
    return KnownCameras(views.camera[..., 0] * distance, axis_angle_to_matrix(views.global_pose), root + shift)


def test_known_cameras_leave_nothing_of_the_landmarks_at_the_truth_and_correct_a_views_own_pose(flame):
    """The truth fits as its own pose and camera and as one place; a pose that errs in one view is shared by all."""
    scene = rendered_scene(1.2)
    truth = scene.truth.per_view().with_inverse_distance(1 / 1.2)
    landmarks = decode(flame, truth).landmarks
    batch = replace(scene.batch, landmarks=landmarks, cameras=rig_of(flame, truth))
    known = objective(flame, cameras="known")
    assert known(truth, batch, 0)["landmarks"] < 1e-3
    wrong = truth.views.global_pose.clone()
    wrong[:, 1, 1] += 0.2
    moved = with_codes(truth, global_pose=wrong)
    own = landmark_loss(*visible(decode(flame, with_known_distance(moved, batch.cameras)), batch))
    shared = landmark_loss(*visible(decode(flame, with_known_cameras(flame, moved, batch.cameras)), batch))
    assert known(moved, batch, 0)["landmarks"] == pytest.approx(((own + shared) / 2).item(), rel=1e-5)
    assert 0 < shared < own


def visible(heads, batch):
    return batch.landmarks, heads.landmarks, heads.visible


def test_known_cameras_that_are_not_there_are_an_error(flame, scene, state):
    with pytest.raises(InputError, match=r"loss\.cameras: known, but the triplets have no cameras"):
        objective(flame, cameras="known")(state, scene.batch, 0)
