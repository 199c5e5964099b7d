"""Correspondences between photographs of a rendered person whose parameters are known."""

import pytest
import torch

from mfnet.fitting.correspondences import FlowMatcher
from mfnet.flow import DisFlow
from mfnet.geometry import vertex_normals
from mfnet.losses.multiview import STEEPEST
from mfnet.model.parameters import Prediction
from mfnet.model.projection import decode
from mfnet.render import comparable_faces
from tests.losses.scenes import rendered_scene

CAP = 0.2


@pytest.fixture(scope="module")
def scene():
    return rendered_scene()


def far_away(scene) -> Prediction:
    """The truth of person 0 before cameras that are practically far away."""
    return scene.truth[:1].with_inverse_distance(1e-6)


def test_correspondences_lie_where_the_points_truly_are(flame, scene):
    """At the truth flow finds the points where they are: targets equal the projections."""
    found = FlowMatcher(flame, DisFlow().flow, 4, CAP)(far_away(scene), scene.batch.pixels()[0])
    projected = decode(flame, scene.truth).projected[0, :, :, :2]
    assert len(found.view_b) > 200 and sorted(found.view_b.unique().tolist()) == [0, 1, 2]
    for view, place, pixels in ((found.view_b, found.target, 0.2), (found.view_a, found.origin, 0.01)):
        points = (projected[view[:, None], found.corners] * found.weights[..., None]).sum(1)
        assert (points - place).norm(dim=-1).median() < pixels * 2 / 128


def steady(x: float, y: float):
    """An estimator that sees the same flow everywhere, pixels."""
    return lambda a, b: torch.tensor([x, y])[None, :, None, None].expand(len(a), 2, *a.shape[-2:])


def test_targets_follow_the_flow_and_flow_that_is_too_long_has_none(flame, scene):
    images, truth = scene.batch.pixels()[0], far_away(scene)
    still, moved = (FlowMatcher(flame, steady(*flow), 4, CAP)(truth, images) for flow in ((0, 0), (2, 1)))
    shift = torch.tensor([2.0, -1.0]) * 2 / 128
    torch.testing.assert_close(moved.target, still.target + shift.expand_as(still.target))
    torch.testing.assert_close(moved.origin, still.origin)
    beyond = FlowMatcher(flame, steady(1.01 * CAP * 64, 0), 4, CAP)(truth, images)
    assert len(still.target) > 200 and len(beyond.target) == 0


def test_correspondences_lie_on_facial_skin_that_view_a_does_not_see_too_flatly(flame, scene):
    found = FlowMatcher(flame, steady(0, 0), 2, CAP)(far_away(scene), scene.batch.pixels()[0])
    skin = flame.faces[comparable_faces(flame.faces, flame.masks)]
    assert set(map(tuple, found.corners.tolist())) <= set(map(tuple, skin.tolist()))
    assert found.slide.flatten(1).norm(dim=1).max() < STEEPEST
    facing = vertex_normals(decode(flame, scene.truth).vertices[0], flame.faces)[..., 2]
    assert (facing[found.view_a[:, None], found.corners] * found.weights).sum(1).min() > 0.14
