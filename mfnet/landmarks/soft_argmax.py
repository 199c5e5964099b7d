"""Soft-argmax: from heat maps to points, differentiably."""

import torch


def soft_argmax(logits: torch.Tensor) -> torch.Tensor:
    """Means of the distributions that logits [N,K,h,w] stand for -> [N,K,2] in [0, 1], x right, y down.

    Differentiable ("soft argmax"); centres of cells are at (i + 0.5) / w.
    """
    share = logits.flatten(2).softmax(dim=-1).unflatten(-1, logits.shape[-2:])
    down, across = ((torch.arange(side).to(share) + 0.5) / side for side in share.shape[2:])
    return torch.stack([(share.sum(dim=2) * across).sum(-1), (share.sum(dim=3) * down).sum(-1)], dim=-1)
