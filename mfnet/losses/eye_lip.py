"""Eq. 8 and 9: the opening of eyes and lips, free of where the face is in the image.

Pairs are 0-based indices into the 68 iBUG landmarks: (upper, lower) of the points that lie opposite each other. Eye
corners (36, 39, 42, 45) and mouth corners (48, 54, 60, 64) have no counterpart. The lips' pairs are the inner ones:
their distance is the opening of the mouth, whereas that of the outer ones is mostly the thickness of the lips.
"""

import torch
from torch import Tensor

from mfnet.landmarks.ibug import EYE_PAIRS, LIP_PAIRS
from mfnet.losses.landmarks import weighted_mean


def eye_loss(detected: Tensor, projected: Tensor, visible: Tensor) -> Tensor:
    """L_eye (eq. 8): see `pair_loss`; landmarks [..., 68, 2] in ndc, visible [..., 68]."""
    return pair_loss(detected, projected, visible, EYE_PAIRS)


def lip_loss(detected: Tensor, projected: Tensor, visible: Tensor) -> Tensor:
    """L_lip (eq. 9): see `pair_loss`; landmarks [..., 68, 2] in ndc, visible [..., 68]."""
    return pair_loss(detected, projected, visible, LIP_PAIRS)


def pair_loss(detected: Tensor, projected: Tensor, visible: Tensor, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    """Mean over the visible pairs (i, j) of |k(i) - k(j) - (k'(i) - k'(j))|_1, a scalar in ndc.

    detected k and projected k' are [..., N, 2]; a pair is as visible as the product of its two ends.
    """
    upper, lower = torch.tensor(pairs, device=detected.device).T
    error = detected - projected
    return weighted_mean(
        (error[..., upper, :] - error[..., lower, :]).abs().sum(-1), visible[..., upper] * visible[..., lower]
    )
