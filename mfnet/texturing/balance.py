"""One light for all views: a gain of each colour channel that brings the photographs together where they overlap."""

import torch
from torch import Tensor

LEAST_OVERLAP = 200
"""Texels that two views must share to be compared."""
LARGEST = 2.0
"""Gains lie between this and its reciprocal."""
DARK, BRIGHT = 0.05, 0.95
"""Colours outside are clipped by the camera, and left out."""


def balanced(textures: Tensor, weights: Tensor) -> Tensor:
    """Textures [V, 3, T, T] in [0, 1] of V views, with the first view's light; weights [V, T, T] as `unwrap` gives.

    For each pair of views the median ratio of the texels that both see squarely; the gains solve all ratios in least
    squares. A view that shares nothing with others keeps its light.
    """
    views = len(textures)
    rows, ratios = [torch.zeros(views)], [torch.zeros(3)]
    rows[0][0] = 1.0  # the first view's gain is 1
    usable = (weights > 0.3) & ((textures > DARK) & (textures < BRIGHT)).all(1)
    for a in range(views):
        for b in range(a + 1, views):
            both = usable[a] & usable[b]
            if int(both.sum()) < LEAST_OVERLAP:
                continue
            row = torch.zeros(views)
            row[a], row[b] = 1.0, -1.0
            rows.append(row)
            ratios.append((textures[b][:, both].log() - textures[a][:, both].log()).median(1).values)
    gains = (torch.linalg.pinv(torch.stack(rows)) @ torch.stack(ratios)).exp()  # [V, 3]
    return (textures * gains.clamp(1 / LARGEST, LARGEST)[:, :, None, None]).clamp(0, 1)
