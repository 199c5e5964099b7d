import pytest
import torch

from mfnet.landmarks.ibug import EYE_PAIRS, LIP_PAIRS
from mfnet.losses.eye_lip import eye_loss, lip_loss

UPPER_LIDS, LOWER_LIDS = {37, 38, 43, 44}, {40, 41, 46, 47}
UPPER_LIPS, LOWER_LIPS = {61, 62, 63}, {65, 66, 67}
BOTH = [(eye_loss, UPPER_LIDS, LOWER_LIDS), (lip_loss, UPPER_LIPS, LOWER_LIPS)]
VISIBLE = torch.ones(1, 68)


def face() -> torch.Tensor:
    """Eyes and inner lips as ovals in ndc, [1, 68, 2]: each upper point straight above its partner."""
    points = torch.zeros(68, 2)
    for (upper, lower), x in zip((*EYE_PAIRS, *LIP_PAIRS), (-0.4, -0.3, 0.3, 0.4, -0.1, 0.0, 0.1), strict=True):
        points[upper], points[lower] = torch.tensor([x, 0.02]), torch.tensor([x, -0.02])
    return points[None]


@pytest.mark.parametrize(("loss", "upper", "lower"), BOTH)
def test_opening_counts_and_shifting_does_not(loss, upper, lower):
    truth = face()
    assert loss(truth, truth + torch.tensor([0.3, -0.2]), VISIBLE).item() == pytest.approx(0, abs=1e-7)
    opened = truth.clone()
    opened[:, sorted(upper), 1] += 0.05
    assert loss(truth, opened, VISIBLE).item() == pytest.approx(0.05)
    opened[:, sorted(lower), 0] += 0.03
    assert loss(truth, opened, VISIBLE).item() == pytest.approx(0.05 + 0.03)


@pytest.mark.parametrize(("loss", "upper", "lower"), BOTH)
def test_gradient_moves_lids_towards_the_detected_opening(loss, upper, lower):
    detected, projected = face(), face()
    detected[:, sorted(upper), 1] += 0.05  # the photograph's are wider open
    projected.requires_grad_()
    loss(detected, projected, VISIBLE).backward()
    moved = -projected.grad[0, :, 1]
    assert (moved[sorted(upper)] > 0).all() and (moved[sorted(lower)] < 0).all()
    assert moved[sorted(set(range(68)) - upper - lower)].abs().max() == 0


@pytest.mark.parametrize("pairs", [EYE_PAIRS, LIP_PAIRS])
def test_pairs_lie_opposite_each_other(pairs):
    """On a drawn iBUG face each pair is vertical; a swapped pair (37, 40) would not be."""
    angle = torch.linspace(0, 2 * torch.pi, 7)[:6]
    oval = torch.stack([-angle.cos(), angle.sin()], 1)  # clockwise in the image from its left corner, as iBUG runs
    mouth = torch.linspace(0, 2 * torch.pi, 9)[:8]
    inner = torch.stack([-mouth.cos(), mouth.sin()], 1)
    points = torch.zeros(68, 2)
    points[36:42], points[42:48], points[60:68] = (
        oval - torch.tensor([3.0, 0.0]),
        oval + torch.tensor([3.0, 0.0]),
        inner,
    )
    for upper, lower in pairs:
        offset = points[upper] - points[lower]
        assert abs(offset[0]) < 1e-6 and offset[1] > 0.5, (upper, lower)


@pytest.mark.parametrize(("loss", "upper", "lower"), BOTH)
def test_a_pair_counts_only_if_both_ends_are_seen(loss, upper, lower):
    for hidden in upper | lower:
        truth, opened = face(), face()
        opened[:, hidden, 1] += 0.05
        assert loss(truth, opened, VISIBLE) > 0
        visible = VISIBLE.clone()
        visible[:, hidden] = 0
        assert loss(truth, opened, visible) == 0


@pytest.mark.parametrize(("loss", "upper", "lower"), BOTH)
def test_gradient_is_that_of_finite_differences(loss, upper, lower):
    truth = face().double()
    generator = torch.Generator().manual_seed(1)
    moved = (truth + 0.1 * torch.randn(truth.shape, dtype=torch.float64, generator=generator)).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: loss(truth, p, VISIBLE.double()), moved)
