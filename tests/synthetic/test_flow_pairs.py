"""The exact flow is exact."""

import numpy as np
import pytest
import torch

from mfnet.geometry import clip_from_orthographic
from mfnet.synthetic.flow_pairs import exact_flow, sample_cross_pairs, sample_flow_pairs
from mfnet.synthetic.sampler import CropFormat, Sampler
from tests.settings import CROP_SCALE, PLAIN_SAMPLER, having

SIZE = 64


@pytest.fixture(scope="module")
def sampler(flame, textures):
    return Sampler(flame, textures, CropFormat(SIZE, CROP_SCALE, 2), having(PLAIN_SAMPLER, degrade=False))


@pytest.fixture(scope="module")
def heads(sampler):
    return sampler.random_heads(np.random.default_rng(0), torch.tensor([[-50.0], [0.0]])).out.vertices


def clip(vertices, scale=7.0, x=0.0, y=0.0):
    return clip_from_orthographic(vertices, torch.tensor([[scale, x, y]]).expand(len(vertices), 3))


def test_no_disturbance_no_flow(flame, heads):
    flow, valid = exact_flow(flame.faces, clip(heads), clip(heads), heads[..., 2], SIZE)
    assert flow.abs().max() < 1e-4 and valid.float().mean() > 0.3


def test_a_shifted_camera_shifts_every_pixel(flame, heads):
    step = 3 * 2 / SIZE / 7.0  # three pixels, in metres
    flow, valid = exact_flow(flame.faces, clip(heads), clip(heads, x=step, y=step), heads[..., 2], SIZE)
    right, down = flow[:, 0][valid[:, 0]], flow[:, 1][valid[:, 0]]
    assert torch.allclose(right, torch.tensor(3.0), atol=1e-2) and torch.allclose(down, torch.tensor(-3.0), atol=1e-2)


def test_what_the_second_view_hides_is_not_valid(flame, sampler):
    rng = np.random.default_rng(1)
    frontal = sampler.random_heads(rng, torch.tensor([[0.0]])).out.vertices
    centre = frontal.mean(1, keepdim=True)
    turn = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # yaw +90: the subject's left cheek goes out of sight
    profile = (frontal - centre) @ turn.T + centre
    _, valid = exact_flow(flame.faces, clip(frontal), clip(profile), profile[..., 2], SIZE)
    columns = valid[0, 0].sum(0)
    assert columns[: SIZE // 2 - 4].sum() > 10 * columns[SIZE // 2 + 10 :].sum()


def test_pairs_zero_flow_error_and_forms(sampler):
    pairs = sample_flow_pairs(sampler, np.random.default_rng(2), 24)
    assert pairs.first.shape == pairs.second.shape == (24, 3, SIZE, SIZE) and pairs.first.dtype == torch.uint8
    length = pairs.flow.norm(dim=1)[pairs.valid[:, 0]]
    assert 1 < length.mean() * 128 / SIZE < 6  # pixels at 128 px
    assert not pairs.flow[(~pairs.valid).expand_as(pairs.flow)].any()
    again = sample_flow_pairs(sampler, np.random.default_rng(2), 24)
    assert all(torch.equal(a, b) for a, b in zip(pairs, again, strict=True))


def test_cross_pairs_forms(sampler):
    pairs = sample_cross_pairs(sampler, np.random.default_rng(2), 24)
    assert pairs.first.shape == pairs.second.shape == (24, 3, SIZE, SIZE) and pairs.first.dtype == torch.uint8
    assert 0.1 < pairs.valid.float().mean() < 0.6
    assert not pairs.flow[(~pairs.valid).expand_as(pairs.flow)].any()
    cut = (pairs.first.amax(1) == 0).flatten(1).float().mean(1) > 0.3  # a photograph has a background
    assert 0 < cut.sum() < 12
    assert torch.equal(pairs.first[cut].amax(1) == 0, pairs.second[cut].amax(1) == 0)  # one outline
    again = sample_cross_pairs(sampler, np.random.default_rng(2), 24)
    assert all(torch.equal(a, b) for a, b in zip(pairs, again, strict=True))


@pytest.mark.parametrize("sample", [sample_flow_pairs, sample_cross_pairs])
def test_warping_the_photograph_by_the_flow_gives_the_estimate_back(flame, sampler, monkeypatch, sample):
    """With one light and no exposure the two differ by resampling alone."""
    from mfnet.synthetic import flow_pairs
    from mfnet.synthetic import sampler as module
    from mfnet.synthetic.lights import ambient_light

    monkeypatch.setattr(flow_pairs, "random_photo_light", lambda rng: ambient_light(np.full(3, 0.8)))
    for place in (flow_pairs, module):
        monkeypatch.setattr(place, "exposure", lambda colour, cover: 1.0)
    monkeypatch.setattr(flow_pairs, "degrade", lambda rng, images: images)
    pairs = sample(sampler, np.random.default_rng(3), 8)
    centres = torch.arange(SIZE) + 0.5
    target = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1) + pairs.flow.permute(0, 2, 3, 1)
    warped = torch.nn.functional.grid_sample(pairs.second.float(), target * (2 / SIZE) - 1, align_corners=False)
    valid = pairs.valid.expand_as(warped)
    plain = (pairs.first.float() - pairs.second.float()).abs()[valid]
    error = (pairs.first.float() - warped).abs()[valid]
    assert (
        error.median() < 4 and error.mean() < 0.6 * plain.mean()
    )  # teeth and lids have edges that no resampling keeps
