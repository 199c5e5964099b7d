"""Eq. 10: the prior on the codes."""

import torch
from torch import Tensor


def regularisation_loss(*codes: Tensor) -> Tensor:
    """L_reg = |beta|_2 + |psi|_2 + |alpha|_2 (eq. 10): codes [..., n] in sigma units -> scalar, each norm's mean
    summed.

    The norms are not squared, as in the paper; their gradient at a zero code is zero.
    """
    return sum((_norm(code).mean() for code in codes), start=torch.zeros(()))


def _norm(code: Tensor) -> Tensor:
    square = code.square().sum(-1)
    zero = square == 0
    return square.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0)  # sqrt'(0) is infinite
