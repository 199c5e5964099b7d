"""Eq. 6: multi-view optical flow between a photograph and the head drawn into its view with another view's texture.

Two ways for the gradient. `through`: the paper's, back through the flow network into the rendered image I_{a->b}, and
so to where texture is taken in view a and where it is drawn in view b. `target`: the flow says where each drawn
surface point really lies in the photograph, and the point's projection is pulled there; this needs no differentiable
estimator. Both have the same value where the flow is the same: its mean L1 length over the covisible mask, in ndc.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mfnet.flow import consistent
from mfnet.losses.landmarks import weighted_mean

Estimate = Callable[[Tensor, Tensor], Tensor]
"""F: two images [B, 3, H, W] in [0, 1] -> flow [B, 2, H, W] in pixels (x right, y down) from the first to the
second."""


@dataclass(frozen=True)
class CheckedFlow:
    """An estimator, and which of its flow is believed."""

    estimate: Estimate
    cap: float
    """Longer flow (ndc) is a failure of the estimator and left out."""
    check: bool = False
    """Whether pixels that fail the forward-backward check are left out too."""

    def trusted(self, flow: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Where `flow`, estimated from image `first` to `second`, is believed: [B, H, W] in {0, 1}."""
        returned = _without_gradient(self.estimate, second, first) if self.check else None
        return trusted_flow(flow, self.cap, returned)


def flow_loss_through(measure: CheckedFlow, photo: Tensor, cross: Tensor, mask: Tensor) -> Tensor:
    """L_multiop (eq. 6) with gradient through F: mean over the mask of |F(MC * I_b, MC * I_{a->b})|_1, ndc.

    photo I_b, cross I_{a->b} [B, 3, H, W] in [0, 1]; mask MC [B, H, W] in [0, 1].
    """
    first, second = mask[:, None] * photo, mask[:, None] * cross
    flow = measure.estimate(first, second)
    trusted = mask * measure.trusted(flow.detach(), first, second)
    return weighted_mean(flow_to_ndc(flow).abs().sum(-1), trusted)


def flow_loss_target(measure: CheckedFlow, photo: Tensor, drawn: Tensor, points: Tensor, mask: Tensor) -> Tensor:
    """L_multiop (eq. 6) with the flow as target: mean over the mask of |p - q|_1, ndc, q = p + F(I_{a->b}, I_b) held.

    points [B, H, W, 2] are the projections p in ndc of the surface points drawn at each pixel of view b: they carry the
    gradient. The flow runs from the drawn image to the photograph, so that it starts where the surface points are.
    `drawn` is I_{a->b} laid over the photograph, and the mask only says which flow counts: cutting both images out by
    the mask, as eq. 6 does, gives them a common outline, to which an estimator clings (docs/log.md).
    """
    flow = _without_gradient(measure.estimate, drawn, photo)
    trusted = mask * measure.trusted(flow, drawn, photo)
    target = points.detach() + flow_to_ndc(flow)
    return weighted_mean((points - target).abs().sum(-1), trusted)


def flow_to_ndc(flow: Tensor) -> Tensor:
    """Flow [B, 2, H, W] in pixels (y down) -> [B, H, W, 2] in ndc (y up)."""
    height, width = flow.shape[-2:]
    return torch.stack([flow[:, 0] * (2 / width), flow[:, 1] * (-2 / height)], -1)


def trusted_flow(flow: Tensor, cap: float, returned: Tensor | None = None) -> Tensor:
    """Which flow to believe, [B, H, W] in {0, 1}: not longer than `cap` (ndc, Euclidean), consistent with `returned`.

    flow, returned [B, 2, H, W] in pixels; `returned` runs from the second image to the first and is read where flow
    ends. Flow that is not finite is not believed but still spoils the loss, so that the guard of the training loop
    finds it.
    """
    trusted = flow_to_ndc(flow).norm(dim=-1) <= cap
    if returned is not None:
        trusted &= consistent(flow, returned)
    return trusted.to(flow.dtype)


@torch.no_grad()
def _without_gradient(estimate: Estimate, first: Tensor, second: Tensor) -> Tensor:
    return estimate(first.detach(), second.detach())
