"""The sampler's truth is true."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mfnet.errors import InputError
from mfnet.flame import Flame
from mfnet.geometry import axis_angle_to_matrix, project_orthographic, yaw
from mfnet.synthetic.sampler import CropFormat, Sampler, fit_orthographic
from mfnet.synthetic.subjects import EXPRESSION_MM, decode, expression_scale, random_subject
from tests.heads import open_flame
from tests.settings import CROP_SCALE, EMBEDDED, having

CROP = CropFormat(48, CROP_SCALE, 2)
SIZE = CROP.size


@pytest.fixture(scope="module")
def sampler(flame, textures):
    return Sampler(flame, textures, CROP, EMBEDDED.sampler)


@pytest.fixture(scope="module")
def sample(sampler):
    return sampler.sample(np.random.default_rng(1), 6, 3)


def decoded(flame, sample):
    """Vertices and landmarks [N * V, ., 3] of a sample's true parameters."""
    views = sample.yaw.shape[1]
    person = sample.person.map(lambda code: code.repeat_interleave(views, 0))
    pose = sample.views.global_pose.flatten(0, 1)
    return flame(person.shape, person.expression, pose, jaw_pose=person.jaw_pose)


def test_shapes_types_and_ranges(flame, sample):
    assert sample.images.shape == (6, 3, 3, SIZE, SIZE) and sample.images.dtype == torch.uint8
    assert sample.landmarks.shape == (6, 3, 68, 2) and sample.visible.shape == (6, 3, 68)
    person, views = sample.person, sample.views
    assert person.shape.shape == (6, flame.n_shape) and person.expression.shape == (6, flame.n_expression)
    assert views.light.shape == (6, 3, 9, 3) and views.camera.shape == (6, 3, 3) and views.albedo.shape == (6, 3, 0)
    assert torch.equal(views.inverse_distance, torch.zeros(6, 3))  # of the camera that was fitted, not of the lens
    assert sample.images.float().std() > 20


def test_equal_seeds_give_equal_batches(sampler, sample):
    again = sampler.sample(np.random.default_rng(1), 6, 3)
    assert all(torch.equal(a, b) for a, b in zip(sample.tensors(), again.tensors(), strict=True))
    assert not torch.equal(sampler.sample(np.random.default_rng(2), 6, 3).images, sample.images)


def test_single_views_stay_with_their_person(sample):
    single = sample.as_single_views()
    assert single.images.shape[:2] == (18, 1) and single.views.albedo.shape == (18, 1, 0)
    for subject in range(6):
        for view in range(3):
            row = 3 * subject + view
            assert torch.equal(single.person.shape[row], sample.person.shape[subject])
            assert torch.equal(single.views.camera[row, 0], sample.views.camera[subject, view])
            assert torch.equal(single.landmarks[row, 0], sample.landmarks[subject, view])


def test_first_views_leave_the_person(sample):
    two = sample.first_views(2)
    assert torch.equal(two.images, sample.images[:, :2]) and torch.equal(two.yaw, sample.yaw[:, :2])
    assert torch.equal(two.views.light, sample.views.light[:, :2]) and two.person is sample.person


def test_slots_are_frontal_left_right(sample):
    frontal, left, right = sample.yaw.unbind(1)
    assert (frontal.abs() < 10).all() and (left < -10).all() and (right > 10).all()
    true_yaw = torch.rad2deg(yaw(axis_angle_to_matrix(sample.views.global_pose)))
    assert torch.allclose(true_yaw, sample.yaw, atol=0.1)


def test_the_right_view_shows_the_right_cheek(sample):
    """Nose to the image's right: more of the face lies on its left."""
    nose = sample.landmarks[:, :, 30, 0] - sample.landmarks[..., 0].mean(2)
    assert (nose[:, 2] > 0).all() and (nose[:, 1] < 0).all()


def test_orthographic_truth_reprojects_exactly(flame, textures):
    options = having(EMBEDDED.sampler, orthographic_share=1.0, degrade=False)
    sample = Sampler(flame, textures, CROP, options).sample(np.random.default_rng(3), 3, 3)
    points = project_orthographic(decoded(flame, sample).landmarks, sample.views.camera.flatten(0, 1))
    assert torch.allclose(points[..., :2], sample.landmarks.flatten(0, 1), atol=1e-4)


def test_perspective_camera_is_the_best_orthographic_one(flame, textures):
    options = having(EMBEDDED.sampler, orthographic_share=0.0)
    sampler = Sampler(flame, textures, CROP, options)
    rng = np.random.default_rng(4)
    heads = sampler.random_heads(rng, torch.zeros(4, 1))
    lens = sampler.random_lens(rng, heads.out)
    points = heads.out.vertices[:, sampler.face]
    camera, target = sampler.fit_camera(heads.out, lens), lens.ndc(points)

    def error(camera):
        return (project_orthographic(points, camera)[..., :2] - target).square().sum((1, 2))

    best = error(camera)
    assert (best > 1e-3).all()  # perspective is felt
    for axis in range(3):
        for step in (-0.01, 0.01):
            other = camera.clone()
            other[:, axis] += step * (camera[:, 0] if axis == 0 else 0.1)
            assert (error(other) > best).all()


def test_fit_orthographic_recovers_a_camera():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2, 50, 3, generator=generator) * 0.1
    camera = torch.tensor([[8.0, 0.01, -0.02], [5.0, -0.03, 0.04]])
    assert torch.allclose(
        fit_orthographic(points[..., :2], project_orthographic(points, camera)[..., :2]), camera, atol=1e-5
    )


def test_crops_hold_the_face(sample):
    extent = (sample.landmarks.amax(2) - sample.landmarks.amin(2)).amax(-1)  # of the box's 2 ndc units
    assert (extent > 1.3).all() and (extent < 1.9).all()
    assert (sample.landmarks.abs() < 1.1).all()


def test_visibility_follows_the_yaw(sampler):
    options = {"rng": np.random.default_rng(5), "subjects": 12, "views": 3}
    sample = sampler.sample(**options)
    eyes = {"right": slice(36, 42), "left": slice(42, 48)}
    assert sample.visible[:, 0, 17:].float().mean() > 0.9
    far = sample.yaw[:, 2] > 60
    assert (
        sample.visible[far, 2][:, eyes["left"]].float().mean()
        < 0.2
        < sample.visible[far, 2][:, eyes["right"]].float().mean()
    )


def test_the_head_covers_its_landmarks(flame, textures):
    """A bright head before a black wall: every visible landmark falls on bright pixels."""
    options = having(EMBEDDED.sampler, degrade=False)
    sampler = Sampler(flame, torch.full_like(textures, 255), CROP, options)
    rng = np.random.default_rng(6)
    heads = sampler.random_heads(rng, torch.tensor([[-40.0], [0.0], [40.0]]))
    lens = sampler.random_lens(rng, heads.out)
    _, drawing = sampler.photograph(rng, heads.out, lens, torch.ones(3, 3, 8, 8), torch.zeros(3, 9, 3))
    inside = lens.ndc(heads.out.landmarks[:, 17:])
    grid = torch.stack([inside[..., 0], -inside[..., 1]], -1)[:, None]
    near = torch.nn.functional.max_pool2d(drawing.cover, 3, 1, 1)
    assert torch.nn.functional.grid_sample(near, grid, align_corners=False).min() > 0.99


def test_expressions_move_every_head_by_millimetres(arrays, flame):
    scale = expression_scale(flame)
    generator = torch.Generator().manual_seed(0)
    expression = scale * torch.randn(200, flame.n_expression, generator=generator)
    shape = torch.zeros(200, flame.n_shape)
    moved = decode(flame, shape, expression) - decode(flame, shape[:1], expression[:1] * 0)
    spread = moved[:, flame.masks["face"]].square().sum(-1).mean().sqrt()
    assert spread < 1.15 * EXPRESSION_MM / 1000 and (scale == 1 or spread > 0.85 * EXPRESSION_MM / 1000)


def test_random_subjects_are_their_seeds(flame):
    one, same, other = (random_subject(flame, (1, 1, number), {}) for number in (7, 7, 8))
    assert np.array_equal(one.shape, same.shape) and one.traits == same.traits
    assert np.abs(one.shape - other.shape).mean() > 0.5


def test_people_of_a_population_have_its_attributes():
    elders = [random_subject(open_flame(), (2, number), {"age": (60, 80), "male": (0, 0.2)}) for number in range(20)]
    everyone = [random_subject(open_flame(), (2, number), {}) for number in range(20)]
    assert all(60 <= person.attributes["age"] <= 80 and person.traits.beard == 0 for person in elders)
    slope = open_flame().population.slope[:, open_flame().population.names.index("age")]
    old, any_age = (np.mean([person.shape @ slope for person in group]) for group in (elders, everyone))
    assert old > any_age + 20 * (slope @ slope)  # at least as far as twenty years move the mean


def test_a_population_that_the_head_does_not_know_is_refused(arrays):
    with pytest.raises(InputError, match="knows no height, only male, age"):
        random_subject(open_flame(), (1,), {"height": (1, 2)})
    with pytest.raises(InputError, match="says nothing of age"):
        random_subject(Flame(replace(arrays, population=None), 10, 5), (1,), {"age": (1, 2)})


def test_a_head_without_masks_is_refused(arrays, textures):
    with pytest.raises(InputError, match="face mask"):
        Sampler(Flame(replace(arrays, masks={}), 10, 5), textures, CROP, EMBEDDED.sampler)
