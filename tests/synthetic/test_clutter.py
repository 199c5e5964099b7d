"""What is laid around and over heads in training pictures."""

import numpy as np
import pytest
import torch

from mfnet.synthetic.clutter import cluttered_backgrounds, long_hair, occlude

SIZE = 64


@pytest.fixture
def face():
    """68 landmarks [2, 68, 2] of two frontal faces in the middle of the crop, ndc."""
    turn = torch.linspace(0, 2 * torch.pi, 68)
    return (0.5 * torch.stack([turn.cos(), turn.sin()], -1)).expand(2, -1, -1)


def changed(before, after):
    """Which pixels [B, S, S] differ."""
    return (before - after).abs().amax(1) > 1e-3


def test_a_share_of_nothing_changes_nothing(face):
    plain, cover = torch.rand(2, 3, SIZE, SIZE), torch.ones(2, 1, SIZE, SIZE)
    rng = np.random.default_rng(0)
    assert torch.equal(cluttered_backgrounds(rng, plain, 0.0), plain)
    assert torch.equal(long_hair(rng, plain, cover, plain, 0.0), plain)
    assert torch.equal(occlude(rng, plain, face, 0.0), plain)


def test_clutter_covers_the_background_with_colours_in_range():
    grey = torch.full((8, 3, SIZE, SIZE), 0.5)
    strewn = cluttered_backgrounds(np.random.default_rng(0), grey, 1.0)
    assert strewn.min() >= 0 and strewn.max() <= 1
    assert all(share > 0.05 for share in changed(grey, strewn).float().mean((1, 2)))
    assert torch.equal(grey, torch.full_like(grey, 0.5))  # not in place
    assert torch.equal(strewn, cluttered_backgrounds(np.random.default_rng(0), grey, 1.0))


def test_hair_falls_from_the_head_downwards_and_never_rises_above_it():
    cover = torch.zeros(4, 1, SIZE, SIZE)
    cover[..., 20:40, 24:40] = 1
    colour, sky = 0.6 * cover.expand(-1, 3, -1, -1), torch.ones(4, 3, SIZE, SIZE)
    hair = changed(sky, long_hair(np.random.default_rng(1), colour, cover, sky, 1.0))
    assert all(hair.flatten(1).any(1))
    assert not hair[:, :12].any()
    rows = hair[:, 25].float().sum(1)
    assert (rows >= 16).all() and (rows < SIZE).all()  # wider than the head, not as wide as the picture


def test_occluders_hide_a_part_of_the_picture_alone(face):
    grey = torch.full((2, 3, SIZE, SIZE), 0.5)
    seen = []
    for seed in range(30):
        seen.append(changed(grey, occlude(np.random.default_rng(seed), grey, face, 1.0)).float().mean((1, 2)))
    shares = torch.cat(seen)
    assert (shares > 0).float().mean() > 0.9 and shares.max() < 0.6
