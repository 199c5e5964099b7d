"""Eq. 7: the projected 3D landmarks against the detected ones, in one view."""

from torch import Tensor


def landmark_loss(detected: Tensor, projected: Tensor, visible: Tensor) -> Tensor:
    """L_singlelmk (eq. 7): mean over the visible landmarks of |k_a(i) - k_{a->a}(i)|_1, a scalar in ndc.

    detected, projected [..., N, 2] in ndc; visible [..., N] in [0, 1] weights each landmark (the paper's i in MF_a).
    The paper's sum is a mean here, so that a view with few visible landmarks counts as much and the weights of eq.
    11, which are DECA's, keep DECA's balance. Zero where nothing is visible.
    """
    return weighted_mean((detected - projected).abs().sum(-1), visible)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Sum of weights * values over the sum of weights; zero where all weights are."""
    return (weights * values).sum() / weights.sum().clamp_min(1e-8)
