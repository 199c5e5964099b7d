"""Views in one light."""

import torch

from mfnet.texturing.balance import balanced


def test_gains_are_undone_over_a_chain_of_overlaps():
    """View 2 shares nothing with view 0, but with view 1."""
    generator = torch.Generator().manual_seed(0)
    skin = 0.3 + 0.3 * torch.rand(3, 60, 60, generator=generator)
    gains = torch.tensor([[1.0, 1, 1], [0.8, 1.1, 1.2], [1.3, 0.9, 0.7]])
    weights = torch.zeros(3, 60, 60)
    for view, (first, last) in enumerate(((0, 30), (20, 45), (35, 60))):
        weights[view, :, first:last] = 0.9
    textures = skin * gains[:, :, None, None] * (weights > 0)[:, None]
    found = balanced(textures, weights)
    for view in range(3):
        seen = weights[view] > 0
        torch.testing.assert_close(found[view][:, seen], skin[:, seen], rtol=1e-3, atol=1e-3)


def test_a_view_that_shares_nothing_keeps_its_light():
    textures, weights = torch.full((2, 3, 60, 60), 0.5), torch.zeros(2, 60, 60)
    weights[0, :, :30], weights[1, :, 30:] = 1, 1
    torch.testing.assert_close(balanced(textures, weights), textures)
