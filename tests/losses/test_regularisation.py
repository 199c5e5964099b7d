import torch

from mfnet.losses.regularisation import regularisation_loss


def test_is_the_sum_of_the_unsquared_norms():
    shape, expression = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[0.0, 2.0], [0.0, 4.0]])
    assert regularisation_loss(shape, expression).item() == (5 + 0) / 2 + (2 + 4) / 2


def test_gradient_points_away_from_zero_and_is_zero_there():
    codes = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    regularisation_loss(codes).backward()
    assert torch.allclose(codes.grad, torch.tensor([[0.3, 0.4], [0.0, 0.0]]))


def test_gradient_is_that_of_finite_differences():
    codes = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(regularisation_loss, codes)
