"""Known cameras: exact pinholes in the model's terms, and one place of a head from what its views say."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mfnet.geometry import CropBox, axis_angle_to_matrix
from mfnet.geometry.conventions import VIEW_TO_OPENCV
from mfnet.geometry.turned import turned_camera
from mfnet.model.mfnet import white_light
from mfnet.model.parameters import Person, Prediction, View
from mfnet.model.projection import decode
from mfnet.model.rig import HeadPose, KnownCameras, place, seen_by, with_known_cameras, with_known_distance
from tests.calibrated import ORIGIN, WORLD, rig
from tests.heads import open_flame

SIZE = 128


@pytest.fixture(scope="module")
def flame():
    return open_flame()


@pytest.fixture(scope="module")
def turned():
    """Crop cameras of three views: frontal, left, right."""
    boxes = (CropBox(150, 170, 190), CropBox(120, 200, 170), CropBox(190, 150, 210))
    return [turned_camera(rig()[place], box, SIZE) for place, box in zip((0, 1, 3), boxes, strict=True)]


@pytest.fixture(scope="module")
def cameras(turned):
    focal = [camera.K[0, 0] * 2 / SIZE for camera in turned]
    rotation = [VIEW_TO_OPENCV @ camera.R for camera in turned]
    translation = [VIEW_TO_OPENCV @ camera.t for camera in turned]
    values = (torch.from_numpy(np.array(value)).float()[None] for value in (focal, rotation, translation))
    return KnownCameras(*(value.expand(2, *value.shape[1:]) for value in values))


def people(flame, views: int = 3) -> Prediction:
    """Two people of some shape; the views are to be replaced."""
    generator = torch.Generator().manual_seed(3)
    shape = torch.randn(2, flame.n_shape, generator=generator)
    person = Person(shape, 0.3 * torch.randn(2, flame.n_expression, generator=generator), torch.zeros(2, 3))
    zeros = torch.zeros(2, views, 3)
    light = white_light().expand(2, views, 9, 3)
    return Prediction(person, View(zeros, zeros, zeros[..., 0], torch.zeros(2, views, 5), light))


def placement() -> HeadPose:
    turn = axis_angle_to_matrix(torch.tensor([[0.1, 0.2, -0.05], [-0.1, -0.15, 0.1]]))
    root = torch.from_numpy(ORIGIN).float() + torch.tensor([[0.01, -0.03, 0.02], [-0.02, 0.0, 0.01]])
    return HeadPose(torch.from_numpy(WORLD).float() @ turn, root)


def test_views_of_a_placed_head_are_what_the_pinhole_cameras_see(flame, cameras, turned):
    prediction = seen_by(flame, people(flame), placement(), cameras)
    heads = decode(flame, prediction)
    person = prediction.person
    rest = flame(person.shape, person.expression, torch.zeros(2, 3), jaw_pose=person.jaw_pose)
    for item in range(2):
        root = rest.joints[item, 0]
        world = (rest.vertices[item] - root) @ placement().rotation[item].T + placement().root[item]
        for view, camera in enumerate(turned):
            pixels, depth = camera.project(world.double().numpy())
            expected = pixels * [2 / SIZE, -2 / SIZE] + [-1, 1]
            assert depth.min() > 0.5
            assert np.abs(heads.projected[item, view, :, :2].double().numpy() - expected).max() < 2e-4


def test_views_that_agree_are_placed_where_they_are(flame, cameras):
    true = placement()
    found = place(flame, seen_by(flame, people(flame), true, cameras), cameras)
    assert torch.allclose(found.rotation, true.rotation, atol=1e-5)
    assert torch.allclose(found.root, true.root, atol=1e-4)
    again = with_known_cameras(flame, seen_by(flame, people(flame), true, cameras), cameras)
    before = seen_by(flame, people(flame), true, cameras)
    for name, value in before.views.named_tensors().items():
        assert torch.allclose(getattr(again.views, name), value, atol=1e-3), name


def disturbed(prediction: Prediction, size: float, seed: int) -> Prediction:
    """Own poses and cameras that err as a network's do: a scale by some per cent, a shift by millimetres."""
    generator = torch.Generator().manual_seed(seed)
    views = prediction.views
    noise = torch.randn(*views.camera.shape, generator=generator) * torch.tensor([1.0, 0.002, 0.002])
    camera = views.camera + size * noise * torch.cat([0.04 * views.camera[..., :1], torch.ones(2, 3, 2)], -1)
    pose = views.global_pose + size * 0.05 * torch.randn(2, 3, 3, generator=generator)
    return replace(prediction, views=replace(views, camera=camera, global_pose=pose))


def test_rays_of_several_views_tell_a_distance_that_none_knows(flame, cameras):
    true = placement()
    views = seen_by(flame, people(flame), true, cameras)
    errors = []
    for seed in range(5):
        found = place(flame, disturbed(views, 1.0, seed), cameras)
        errors.append((found.root - true.root).norm(dim=-1))
    assert torch.stack(errors).mean() < 0.008  # 4 % of a metre would be 40 mm


def test_known_distances_are_those_of_each_views_own_scale(flame, cameras):
    views = seen_by(flame, people(flame), placement(), cameras)
    own = with_known_distance(replace(views, views=replace(views.views, inverse_distance=torch.zeros(2, 3))), cameras)
    assert torch.allclose(own.views.inverse_distance, views.views.inverse_distance, rtol=1e-5)


def test_the_gradient_reaches_every_views_own_outputs_and_is_finite(flame, cameras):
    views = seen_by(flame, people(flame), placement(), cameras)
    for size in (0.0, 1.0):
        start = disturbed(views, size, 0)
        pose = start.views.global_pose.clone().requires_grad_()
        camera = start.views.camera.clone().requires_grad_()
        moved = replace(start, views=replace(start.views, global_pose=pose, camera=camera))
        together = with_known_cameras(flame, moved, cameras)
        heads = decode(flame, together)
        gradients = torch.autograd.grad((heads.landmarks - 0.1).square().sum(), (pose, camera))
        for gradient in gradients:
            assert gradient.isfinite().all() and gradient.abs().amax((0, 2)).min() > 0


def test_each_view_may_have_a_person_of_its_own(flame, cameras):
    prediction = seen_by(flame, people(flame).per_view(), placement(), cameras)
    assert prediction.person.shape.shape[:2] == (2, 3)
    found = place(flame, prediction, cameras)
    assert torch.allclose(found.root, placement().root, atol=1e-4)
