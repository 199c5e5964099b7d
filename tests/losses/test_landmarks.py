import pytest
import torch

from mfnet.losses.landmarks import landmark_loss, weighted_mean


@pytest.fixture
def points() -> torch.Tensor:
    return torch.randn(2, 3, 68, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_is_zero_at_the_truth_and_the_l1_length_of_a_shift(points):
    visible = torch.ones(2, 3, 68, dtype=torch.float64)
    assert landmark_loss(points, points, visible) == 0
    shifted = points + torch.tensor([0.03, -0.04], dtype=torch.float64)
    assert landmark_loss(points, shifted, visible).item() == pytest.approx(0.07)


def test_hidden_landmarks_do_not_count(points):
    visible = torch.ones(2, 3, 68, dtype=torch.float64)
    visible[..., :20] = 0
    wrong = points.clone()
    wrong[..., :20, :] += 5.0
    assert landmark_loss(points, wrong, visible) == 0
    wrong[..., 20, :] += 1.0
    assert landmark_loss(points, wrong, visible).item() == pytest.approx(2 / 48)


def test_is_zero_with_a_zero_gradient_where_nothing_is_visible(points):
    moved = (points + 1).requires_grad_()
    loss = landmark_loss(points, moved, torch.zeros(2, 3, 68, dtype=torch.float64))
    loss.backward()
    assert loss == 0 and moved.grad.abs().max() == 0


def test_gradient_is_that_of_finite_differences(points):
    visible = (points[..., 0] > 0).double()
    moved = (points + 0.1 * points.flip(-1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: landmark_loss(points, p, visible), moved)


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_weighted_mean_is_numpys(scale):
    """Whatever the sum of the weights: a small mask weighs no less."""
    values, weights = torch.tensor([1.0, 2.0, 4.0]), scale * torch.tensor([1.0, 0.0, 3.0])
    assert weighted_mean(values, weights).item() == pytest.approx(13 / 4)
