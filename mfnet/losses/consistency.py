"""Beyond the paper: RingNet's shape consistency (Sanyal et al. 2019, eq. 4) between single-view shapes."""

import torch
from torch import Tensor

MARGIN = 0.5
"""eta of RingNet, in squared sigma units per coefficient."""


def shape_consistency_loss(shapes: Tensor, subjects: Tensor) -> Tensor:
    """Hinge on triplets of views: two views of a subject must agree better, by MARGIN, than with another subject.

    shapes [B, V, n] in sigma units, one per view; subjects [B] integers. For every pair of views (j, k) of an item
    and a view r of the next item in the batch that shows someone else: max(0, |b_j - b_k|^2 - |b_j - b_r|^2 +
    MARGIN), squared distances as means over the coefficients. Zero where the batch holds one subject or one view
    only.
    """
    views = shapes.shape[1]
    other = _next_other(subjects)
    pairs = [(j, k) for j in range(views) for k in range(views) if j != k]
    valid = other >= 0
    if not pairs or not valid.any():
        return shapes.sum() * 0.0
    different = shapes[other.clamp_min(0)]  # [B, V, n]
    hinge = [
        (_distance(shapes[:, j], shapes[:, k]) - _distance(shapes[:, j], different[:, k]) + MARGIN).clamp_min(0)
        for j, k in pairs
    ]
    return torch.stack(hinge)[:, valid].mean()


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().mean(-1)


def _next_other(subjects: Tensor) -> Tensor:
    """For each item the index of the next one, cyclically, with another subject; -1 where there is none. [B]"""
    items = len(subjects)
    shifts = (torch.arange(items)[:, None] + torch.arange(1, max(items, 2))) % items  # [B, B - 1]
    differs = subjects.cpu()[shifts] != subjects.cpu()[:, None]
    first = shifts.gather(1, differs.int().argmax(1, keepdim=True))[:, 0]
    return torch.where(differs.any(1), first, -1).to(subjects.device)
