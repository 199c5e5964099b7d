"""Eq. 6 on images whose flow is known; tests/losses/test_multiview.py has the rendered heads."""

import pytest
import torch

from mfnet.flow import DisFlow
from mfnet.losses.flow import CheckedFlow, flow_loss_target, flow_loss_through, flow_to_ndc, trusted_flow

SIZE = 64


def pattern(shift_x: int, shift_y: int) -> torch.Tensor:
    """A smooth random texture [1, 3, SIZE, SIZE], moved by whole pixels (right, down)."""
    noise = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.interpolate(noise, size=(96, 96), mode="bicubic").clamp(0, 1)
    return whole[..., 16 - shift_y : 16 - shift_y + SIZE, 16 - shift_x : 16 - shift_x + SIZE]


def pixel_centres() -> torch.Tensor:
    """Ndc of each pixel's centre, [1, SIZE, SIZE, 2]."""
    x = (torch.arange(SIZE) + 0.5) * 2 / SIZE - 1
    return torch.stack(torch.meshgrid(x, -x, indexing="xy"), -1)[None]


def shift_estimator(x: float, y: float):
    return lambda a, b: torch.tensor([x, y]).view(1, 2, 1, 1).expand(len(a), 2, *a.shape[-2:])


def test_flow_in_ndc_has_y_up():
    flow = torch.tensor([8.0, 4.0]).view(1, 2, 1, 1).expand(1, 2, 32, 64)
    assert torch.allclose(flow_to_ndc(flow), torch.tensor([0.25, -0.25]).expand(1, 32, 64, 2))


def test_value_is_the_masked_mean_l1_flow_both_ways():
    image, mask = torch.rand(1, 3, SIZE, SIZE), torch.zeros(1, SIZE, SIZE)
    mask[:, 20:40, 20:40] = 1
    estimate = shift_estimator(3.0, -1.0)
    for loss in (through, target):
        assert loss(estimate, image, image, mask, cap=1.0).item() == pytest.approx(4 * 2 / SIZE)


def test_target_pulls_points_to_where_the_photograph_shows_them():
    """The head is drawn 2 px too far left and 1 px too low: descending must move its points right and up."""
    drawn, photo = pattern(0, 1), pattern(2, 0)
    points = pixel_centres().requires_grad_()
    mask = torch.zeros(1, SIZE, SIZE)
    mask[:, 12:-12, 12:-12] = 1
    loss = flow_loss_target(CheckedFlow(DisFlow().flow, cap=0.5), photo, drawn, points, mask)
    loss.backward()
    step = -points.grad[mask.bool()]
    assert ((step[:, 0] > 0).float().mean() > 0.95) and ((step[:, 1] > 0).float().mean() > 0.8)
    assert points.grad[~mask.bool()].abs().max() == 0


def through(estimate, photo, drawn, mask, **checks) -> torch.Tensor:
    return flow_loss_through(CheckedFlow(estimate, **checks), photo, drawn, mask)


def target(estimate, photo, drawn, mask, **checks) -> torch.Tensor:
    return flow_loss_target(CheckedFlow(estimate, **checks), photo, drawn, pixel_centres(), mask)


BOTH = pytest.mark.parametrize("loss", [through, target])


@BOTH
def test_too_long_flow_is_left_out(loss):
    flow = torch.zeros(1, 2, SIZE, SIZE)
    flow[:, 0, :, :4] = 40.0
    trusted = trusted_flow(flow, cap=0.5)
    assert trusted[..., :4].sum() == 0 and trusted[..., 4:].all()
    image = torch.rand(1, 3, SIZE, SIZE)
    assert loss(lambda a, b: flow, image, image, torch.ones(1, SIZE, SIZE), cap=0.5) == 0


@BOTH
def test_flow_outside_the_mask_does_not_count(loss):
    flow, mask = torch.zeros(1, 2, SIZE, SIZE), torch.ones(1, SIZE, SIZE)
    flow[..., :30], mask[..., :30] = 3.0, 0
    image = torch.rand(1, 3, SIZE, SIZE)
    assert loss(lambda a, b: flow, image, image, mask, cap=1.0) == 0


@BOTH
def test_the_check_estimates_the_way_back(loss):
    """Flow that turns round with the images passes; flow that points the same way both times does not come back."""
    dark, bright, mask = torch.zeros(1, 3, SIZE, SIZE), torch.ones(1, 3, SIZE, SIZE), torch.ones(1, SIZE, SIZE)

    def returning(a, b):
        return shift_estimator(3.0, 0.0)(a, b) * (b - a).mean(1, keepdim=True)

    for check in (False, True):
        assert loss(returning, dark, bright, mask, cap=1.0, check=check).item() == pytest.approx(3 * 2 / SIZE)
    assert loss(shift_estimator(3.0, 0.0), dark, bright, mask, cap=1.0, check=True) == 0


def test_flow_that_is_not_finite_is_not_hidden():
    flow = torch.zeros(1, 2, SIZE, SIZE)
    flow[..., :4] = torch.nan
    image = torch.rand(1, 3, SIZE, SIZE)
    assert flow_loss_through(CheckedFlow(lambda a, b: flow, cap=0.5), image, image, torch.ones(1, SIZE, SIZE)).isnan()


def test_forward_backward_check_drops_what_does_not_return():
    flow = torch.zeros(1, 2, SIZE, SIZE)
    flow[:, 0] = 3.0
    returned = -flow.clone()
    returned[..., 40:] = 3.0
    trusted = trusted_flow(flow, 1.0, returned)
    assert trusted[..., :36].all() and not trusted[..., 40:].any()


def test_masked_images_are_what_the_estimator_sees():
    seen = []

    def estimate(a, b):
        seen.extend([a, b])
        return torch.zeros(len(a), 2, SIZE, SIZE, requires_grad=True) * 1

    photo, cross, mask = torch.ones(1, 3, SIZE, SIZE), 0.5 * torch.ones(1, 3, SIZE, SIZE), torch.zeros(1, SIZE, SIZE)
    mask[..., :10] = 1
    flow_loss_through(CheckedFlow(estimate, cap=1.0), photo, cross, mask)
    assert torch.equal(seen[0], mask[:, None] * photo) and torch.equal(seen[1], mask[:, None] * cross)
