import numpy as np
import pytest
import torch

from mfnet.geometry import euler_to_matrix
from mfnet.geometry.conventions import FLIP_YZ, VIEW_TO_OPENCV, about_x, about_y, about_z


@pytest.mark.parametrize("place", range(3))
def test_angles_have_the_signs_of_euler_to_matrix(place):
    """Yaw, pitch, roll: one convention for tensors and arrays."""
    angles = torch.zeros(3, dtype=torch.float64)
    angles[place] = 0.7
    expected = euler_to_matrix(*angles).numpy()
    np.testing.assert_allclose((about_y, about_x, about_z)[place](0.7), expected, atol=1e-12)


def test_the_flip_is_half_a_turn_about_x_and_its_own_inverse():
    np.testing.assert_allclose(VIEW_TO_OPENCV, about_x(np.pi), atol=1e-15)
    assert np.array_equal(VIEW_TO_OPENCV @ VIEW_TO_OPENCV, np.eye(3))
    points = np.random.default_rng(0).normal(size=(5, 3))
    assert np.array_equal(points * FLIP_YZ, points @ VIEW_TO_OPENCV)
