"""Decoded heads: projection with and without the camera's distance."""

from types import SimpleNamespace

import pytest
import torch

from mfnet.geometry import axis_angle_to_matrix
from mfnet.losses.landmarks import landmark_loss
from mfnet.model.projection import decode, landmark_visibility
from mfnet.synthetic.sampler import fit_orthographic
from tests.losses.scenes import rendered_scene, with_codes

NEAR = 0.6


def fitted(flame, scene, inverse_distance):
    """The truth with the cameras that fit the landmarks best, given how close the cameras are."""
    truth = scene.truth.with_inverse_distance(inverse_distance)
    heads, each = decode(flame, truth), truth.per_view().map(lambda value: value.flatten(0, 1))
    pose, jaw = each.views.global_pose, each.person.jaw_pose
    points = flame(each.person.shape, each.person.expression, pose, jaw_pose=jaw).landmarks
    divisor = 1 - inverse_distance * (points[..., 2] - points[..., 2].mean(-1, keepdim=True))
    target = scene.batch.landmarks.flatten(0, 1) * divisor[..., None]
    camera = fit_orthographic(points[..., :2], target).unflatten(0, heads.cameras.shape[:2])
    return with_codes(truth, camera=camera)


def test_knowing_the_distance_explains_the_landmarks_of_a_near_camera(flame):
    scene = rendered_scene(NEAR)

    def loss(inverse_distance):
        heads = decode(flame, fitted(flame, scene, inverse_distance))
        return landmark_loss(scene.batch.landmarks, heads.landmarks, heads.visible)

    assert loss(1 / NEAR) < 0.5 * loss(0.0)  # what is left: contour points that walk otherwise seen from near by
    assert loss(1 / NEAR) < loss(0.5 / NEAR) < loss(0.0)


def test_each_camera_may_have_its_own_distance(flame, scene):
    inverse_distance = torch.tensor([[0.0, 0.5, 1.0]]).expand(len(scene.batch.triplet), 3)
    mixed = decode(flame, scene.truth.with_inverse_distance(inverse_distance))
    for view, value in enumerate((0.0, 0.5, 1.0)):
        alone = decode(flame, scene.truth.with_inverse_distance(value))
        torch.testing.assert_close(mixed.landmarks[:, view], alone.landmarks[:, view])
        torch.testing.assert_close(mixed.divisor[:, view], alone.divisor[:, view])


def test_nearer_parts_grow_and_the_centre_stays(flame, scene):
    flat, near = (decode(flame, scene.truth.with_inverse_distance(value)) for value in (0.0, 1 / NEAR))
    assert torch.equal(flat.divisor, torch.ones_like(flat.divisor))
    grown = near.projected[..., :2].norm(dim=-1) / flat.projected[..., :2].norm(dim=-1)
    torch.testing.assert_close(grown, 1 / near.divisor, rtol=1e-4, atol=1e-4)
    depth = near.vertices[..., 2] - near.vertices[..., 2].mean(-1, keepdim=True)
    assert torch.corrcoef(torch.stack([depth[0, 0], near.divisor[0, 0]]))[0, 1].item() == pytest.approx(-1, abs=1e-4)
    points, grown = (heads.landmarks.norm(dim=-1) for heads in (flat, near))
    torch.testing.assert_close((points / grown).mean(-1), torch.ones(4, 3), rtol=1e-4, atol=1e-4)  # their mean depth


def turned_triangles(*degrees: float) -> torch.Tensor:
    """Triangles that face the camera, turned about the vertical by these angles: vertices [1, 3 T, 3]."""
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    turn = torch.tensor([[0.0, 1.0, 0.0]]) * torch.tensor(degrees).deg2rad()[:, None]
    return (corners @ axis_angle_to_matrix(turn).mT).reshape(1, -1, 3)


def test_a_static_landmark_is_seen_where_its_own_triangle_faces_the_camera():
    """Up to 84 degrees. The model's first 51 triangles are those of landmarks 17 to 67."""
    angles = torch.zeros(51 + 68)
    angles[[3, 20, 50]] = torch.tensor([86.0, 120.0, -179.0])
    angles[[4, 21, 49]] = torch.tensor([82.0, -82.0, 60.0])
    model = SimpleNamespace(fixed_corners=torch.arange(3 * len(angles)).view(-1, 3))
    visible = landmark_visibility(model, turned_triangles(*angles.tolist()), torch.zeros(1, 3))
    assert (visible[0] == 0).nonzero()[:, 0].tolist() == [17 + 3, 17 + 20, 17 + 50]


@pytest.mark.parametrize(("yaw", "hidden"), [(39, []), (41, range(9, 17)), (-39, []), (-41, range(8))])
def test_the_far_jaw_line_is_hidden_beyond_40_degrees(yaw, hidden):
    model = SimpleNamespace(fixed_corners=torch.arange(3).expand(51 + 68, 3))
    pose = torch.tensor([[0.0, 1.0, 0.0]]) * torch.tensor(float(yaw)).deg2rad()
    visible = landmark_visibility(model, turned_triangles(0.0), pose)
    assert (visible[0] == 0).nonzero()[:, 0].tolist() == [*hidden]
