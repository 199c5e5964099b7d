import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from mfnet.geometry import (
    axis_angle_to_matrix,
    euler_to_matrix,
    matrix_to_axis_angle,
    matrix_to_euler,
    yaw,
)


def random_rotations(n=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    axis = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator, dtype=torch.float64), dim=-1)
    return axis * torch.rand(n, 1, generator=generator, dtype=torch.float64) * math.pi


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-5, 0.0])
def test_axis_angle_agrees_with_scipy(scale):
    rotation = random_rotations() * scale
    expected = torch.from_numpy(Rotation.from_rotvec(rotation.numpy()).as_matrix())
    torch.testing.assert_close(axis_angle_to_matrix(rotation), expected, atol=1e-13, rtol=0)


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-5, 0.0])
def test_axis_angle_round_trip(scale):
    rotation = random_rotations() * scale
    torch.testing.assert_close(matrix_to_axis_angle(axis_angle_to_matrix(rotation)), rotation, atol=1e-10, rtol=0)


def test_half_turns_round_trip_as_matrices():
    rotation = torch.nn.functional.normalize(random_rotations(), dim=-1) * math.pi
    matrix = axis_angle_to_matrix(rotation)
    torch.testing.assert_close(axis_angle_to_matrix(matrix_to_axis_angle(matrix)), matrix, atol=1e-7, rtol=0)


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-6, 0.0])
def test_gradients_are_those_of_finite_differences(scale):
    rotation = (random_rotations(4) * scale).requires_grad_()
    assert torch.autograd.gradcheck(axis_angle_to_matrix, rotation)
    assert torch.autograd.gradcheck(lambda r: matrix_to_axis_angle(axis_angle_to_matrix(r)), rotation)


def test_euler_round_trip_and_order():
    generator = torch.Generator().manual_seed(1)
    angles = (torch.rand(64, 3, generator=generator, dtype=torch.float64) - 0.5) * torch.tensor([2.0, 1.0, 2.0]) * 3
    matrix = euler_to_matrix(*angles.unbind(-1))
    torch.testing.assert_close(torch.stack(matrix_to_euler(matrix), -1), angles)
    expected = torch.from_numpy(Rotation.from_euler("YXZ", angles.numpy()).as_matrix())
    torch.testing.assert_close(matrix, expected)


def test_positive_yaw_turns_the_nose_to_the_images_right():
    zero, angle = torch.zeros(()), torch.tensor(0.5)
    matrix = euler_to_matrix(angle, zero, zero)
    nose = matrix @ torch.tensor([0.0, 0.0, 1.0])  # image x is head x for the frontal camera
    assert nose[0] > 0
    right_cheek = matrix @ torch.tensor([-1.0, 0.0, 0.3])  # subject's right is -x
    assert right_cheek[2] > (matrix @ torch.tensor([1.0, 0.0, 0.3]))[2]  # turned towards the camera
    torch.testing.assert_close(yaw(matrix), angle)


def test_yaw_ignores_roll_and_pitch():
    angles = torch.tensor([0.7, -0.4, 0.9])
    torch.testing.assert_close(yaw(euler_to_matrix(*angles)), angles[0])
