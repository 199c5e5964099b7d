import pytest
import torch

from mfnet.losses.consistency import MARGIN, shape_consistency_loss


def test_views_that_agree_and_differ_from_others_by_the_margin_cost_nothing():
    shapes = torch.tensor([0.0, 2.0, 4.0])[:, None, None].expand(3, 3, 5)
    assert shape_consistency_loss(shapes, torch.tensor([1, 2, 3])) == 0


def test_equal_shapes_for_everyone_cost_the_margin():
    assert shape_consistency_loss(torch.zeros(3, 3, 5), torch.tensor([1, 2, 3])).item() == MARGIN


def test_the_same_subject_is_never_the_other():
    shapes = torch.zeros(3, 2, 4)
    shapes[2] = 3.0
    assert shape_consistency_loss(shapes, torch.tensor([1, 1, 2])) == 0  # items 0 and 1 agree: they are one person
    assert shape_consistency_loss(shapes, torch.tensor([7, 7, 7])) == 0  # nobody else in the batch


def test_gradient_pulls_views_together():
    shapes = torch.tensor([[[0.0], [1.0]], [[0.5], [0.5]]], requires_grad=True)
    shape_consistency_loss(shapes, torch.tensor([1, 2])).backward()
    assert shapes.grad[0, 0, 0] < 0 < shapes.grad[0, 1, 0]


def test_is_the_mean_over_all_triplets_of_views():
    shapes = torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    subjects = [3, 5, 5, 8]
    hinges = []
    for item in range(4):
        other = next(k % 4 for k in range(item + 1, item + 4) if subjects[k % 4] != subjects[item])
        for j, k in ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)):
            near = ((shapes[item, j] - shapes[item, k]) ** 2).sum() / 6
            far = ((shapes[item, j] - shapes[other, k]) ** 2).sum() / 6
            hinges.append(torch.relu(near - far + MARGIN))
    expected, found = sum(hinges) / len(hinges), shape_consistency_loss(shapes, torch.tensor(subjects))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, shapes)[0] for value in (found, expected)))


def test_value_by_hand():
    shapes = torch.tensor([[[0.0], [1.0]], [[3.0], [3.0]]])
    # item 0: 1 - 9 + .5 -> 0 and 1 - 4 + .5 -> 0; item 1: 0 - 9 + .5 -> 0 and 0 - 4 + .5 -> 0
    assert shape_consistency_loss(shapes, torch.tensor([1, 2])) == 0
    shapes[1] = 1.0
    # item 0, j=0: 1 - 1 + .5 = .5; j=1: 1 - 0 + .5 = 1.5; item 1: j=0: 0 - 1 + .5 -> 0; j=1: 0 - 0 + .5 = .5
    assert shape_consistency_loss(shapes, torch.tensor([1, 2])).item() == pytest.approx((0.5 + 1.5 + 0 + 0.5) / 4)
