"""Poses from landmarks: a head projected by a known pose and camera must get both back."""

import numpy as np
import pytest
import torch

from mfnet.fitting.pose import fit_poses
from mfnet.flame import Flame
from mfnet.geometry import euler_to_matrix, matrix_to_axis_angle, perspective_divisor, project_orthographic
from mfnet.model.parameters import Person


@pytest.fixture(scope="module")
def flame(head):
    return Flame(head, 10, 5)


@pytest.mark.parametrize("lens", [0.0, 0.4])
@pytest.mark.parametrize("yaw", [-80, -45, -10, 0, 30, 70])
@pytest.mark.parametrize("pitch", [-25, 0, 20])
def test_a_head_finds_its_own_pose(flame, yaw, pitch, lens):
    """Before scaled orthography, and before a lens through which 7 ndc a metre mean a distance of 36 cm."""
    rotation = euler_to_matrix(*torch.deg2rad(torch.tensor([float(yaw), float(pitch), 8.0])))
    pose, camera = matrix_to_axis_angle(rotation[None]), torch.tensor([[7.0, 0.01, 0.02]])
    shape, jaw = torch.linspace(-2, 2, flame.n_shape)[None], torch.tensor([[0.1, 0, 0]])
    person = Person(shape, torch.zeros(1, flame.n_expression), jaw)

    def seen(pose, camera) -> np.ndarray:
        points = flame(person.shape, person.expression, pose, jaw_pose=person.jaw_pose).landmarks
        divisor = perspective_divisor(points[..., 2], points[..., 2].mean(), lens * camera[0, 0])
        return project_orthographic(points, camera, divisor)[..., :2].double().numpy()

    landmarks = seen(pose, camera)
    found, fitted = fit_poses(flame, landmarks, np.array([lens]), person)
    assert np.abs(seen(found, fitted) - landmarks).max() < 0.02
    np.testing.assert_allclose(found[0].numpy(), pose[0].numpy(), atol=0.03)
    np.testing.assert_allclose(fitted[0, 0].item(), 7.0, rtol=0.01)


def test_a_head_that_is_not_finite_has_no_pose(flame):
    shape = torch.zeros(2, flame.n_shape)
    shape[0, 3] = torch.nan
    zeros = torch.zeros(2, flame.n_expression), torch.zeros(2, 3)
    landmarks = flame(torch.zeros_like(shape), zeros[0], zeros[1]).landmarks[..., :2].double().numpy()
    pose, camera = fit_poses(flame, landmarks, np.zeros(2), Person(shape, *zeros))
    assert pose[0].isnan().all() and camera[0].isnan().all() and pose[1].isfinite().all()
