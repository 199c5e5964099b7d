"""Decoded heads: projection with and without the camera's distance."""

from dataclasses import replace

import pytest
import torch

from mfnet.losses.heads import decode
from mfnet.losses.landmarks import landmark_loss
from mfnet.synthetic.sampler import fit_orthographic
from tests.losses.scenes import rendered_scene

NEAR = 0.6


def fitted(flame, scene, closeness):
    """The truth with the cameras that fit the landmarks best, given how close the cameras are."""
    heads = decode(flame, scene.truth, closeness)
    output = flame(
        *(getattr(scene.truth, name).flatten(0, 1) for name in ("shape", "expression", "global_pose")),
        jaw_pose=scene.truth.jaw_pose.flatten(0, 1),
    )
    points = output.landmarks
    shrink = 1 - closeness * (points[..., 2] - points[..., 2].mean(-1, keepdim=True))
    target = scene.batch.landmarks.flatten(0, 1) * shrink[..., None]
    camera = fit_orthographic(points[..., :2], target).unflatten(0, heads.cameras.shape[:2])
    return replace(scene.truth, camera=camera)


def test_knowing_the_distance_explains_the_landmarks_of_a_near_camera(flame):
    scene = rendered_scene(NEAR)

    def loss(closeness):
        heads = decode(flame, fitted(flame, scene, closeness), closeness)
        return landmark_loss(scene.batch.landmarks, heads.landmarks, heads.visible)

    assert loss(1 / NEAR) < 0.25 * loss(0.0)
    assert loss(1 / NEAR) < loss(0.5 / NEAR) < loss(0.0)


def test_each_camera_may_have_its_own_distance(flame, scene):
    closeness = torch.tensor([[0.0, 0.5, 1.0]]).expand(len(scene.batch.triplet), 3)
    mixed = decode(flame, scene.truth, closeness)
    for view, value in enumerate((0.0, 0.5, 1.0)):
        alone = decode(flame, scene.truth, value)
        torch.testing.assert_close(mixed.landmarks[:, view], alone.landmarks[:, view])
        torch.testing.assert_close(mixed.shrink[:, view], alone.shrink[:, view])


def test_nearer_parts_grow_and_the_centre_stays(flame, scene):
    flat, near = decode(flame, scene.truth), decode(flame, scene.truth, 1 / NEAR)
    assert torch.equal(flat.shrink, torch.ones_like(flat.shrink))
    grown = near.projected[..., :2].norm(dim=-1) / flat.projected[..., :2].norm(dim=-1)
    torch.testing.assert_close(grown, 1 / near.shrink, rtol=1e-4, atol=1e-4)
    depth = near.vertices[..., 2] - near.vertices[..., 2].mean(-1, keepdim=True)
    assert torch.corrcoef(torch.stack([depth[0, 0], near.shrink[0, 0]]))[0, 1].item() == pytest.approx(-1, abs=1e-4)
