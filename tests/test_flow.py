"""Flow: a known shift, padding, the gradient route through RAFT, the consistency check, calibration, files."""

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.models.optical_flow import raft_small

from mfnet.errors import InputError
from mfnet.flow import (
    DisFlow,
    FlowEstimator,
    RaftFlow,
    calibrate,
    consistent,
    end_point_error,
    load_flow,
    raft_padding,
    raft_state,
    sample_flow,
)
from mfnet.io.tensors import write_tensors


def texture(side, seed=0):
    """Smooth noise [side,side] in [0, 1] with structure at several scales."""
    noise = np.random.default_rng(seed).random((side, side)).astype(np.float32)
    image = sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1.5, 3, 6))
    return (image - image.min()) / (image.max() - image.min())


def shifted_pair(dx, dy, side=128):
    """b shows a's content moved by (dx, dy) px: flow a -> b is (dx, dy) everywhere."""
    wide = torch.from_numpy(texture(side + 32))[None, None].expand(1, 3, -1, -1)
    a = wide[..., 16 : 16 + side, 16 : 16 + side]
    return a, wide[..., 16 - dy : 16 - dy + side, 16 - dx : 16 - dx + side]


@pytest.fixture(scope="module")
def raft():
    torch.manual_seed(0)
    return RaftFlow("raft_small", updates=2)


def test_every_estimator_is_a_flow_estimator(raft):
    assert isinstance(raft, FlowEstimator) and isinstance(DisFlow(), FlowEstimator)


@pytest.mark.parametrize("shift", [(3, 0), (0, 3), (-2, 5)])
def test_dis_finds_a_shift_and_its_direction(shift):
    a, b = shifted_pair(*shift)
    flow = DisFlow().flow(a, b)
    assert flow.shape == (1, 2, 128, 128)
    truth = torch.tensor(shift, dtype=torch.float32)[None, :, None, None].expand_as(flow)
    inner = torch.zeros(1, 128, 128, dtype=torch.bool)
    inner[:, 12:-12, 12:-12] = True
    assert end_point_error(flow, truth, inner) < 0.3


def test_dis_does_not_care_for_light():
    """A gain and an offset that change over the image leave the flow as it was."""
    a, b = shifted_pair(3, 1)
    ramp = torch.linspace(0.3, 0.7, 128)
    lit = b * ramp + 0.2
    inner = torch.zeros(1, 128, 128, dtype=torch.bool)
    inner[:, 12:-12, 12:-12] = True
    truth = torch.tensor([3.0, 1.0])[None, :, None, None].expand(1, 2, 128, 128)
    assert end_point_error(DisFlow().flow(a, lit), truth, inner) < 0.5


def test_dis_calibrates_to_zero():
    figures = calibrate(DisFlow(), shifted_pair(0, 0)[0])
    assert figures["identical_mean_px"] < 0.05


def test_calibration_refuses_an_untrained_estimator(raft):
    with torch.no_grad():
        raft.network.update_block.flow_head.conv2.bias.fill_(1.0)  # one cell is 8 px
    with pytest.raises(InputError, match=r"flow_estimator: raft_small sees .* px of flow between equal images"):
        calibrate(raft, shifted_pair(0, 0)[0])
    with torch.no_grad():
        raft.network.update_block.flow_head.conv2.bias.zero_()


@pytest.mark.parametrize(("height", "width"), [(128, 128), (100, 90), (131, 200), (224, 224)])
def test_padding_makes_sides_that_raft_takes(height, width):
    left, right, top, bottom = raft_padding(height, width)
    assert min(left, right, top, bottom) >= 0
    for side in (height + top + bottom, width + left + right):
        assert side % 8 == 0 and side >= 128
    assert abs(left - right) <= 1 and abs(top - bottom) <= 1


def test_raft_is_torchvisions(raft):
    reference = raft_small().eval()
    reference.load_state_dict(raft.network.state_dict())
    a, b = shifted_pair(2, 1)
    with torch.no_grad():
        expected = reference(2 * a - 1, 2 * b - 1, num_flow_updates=2)[-1]
        torch.testing.assert_close(raft.flow(a, b), expected)


def test_raft_takes_any_size(raft):
    a, b = shifted_pair(2, 1, side=100)
    assert raft.flow(a[..., :90], b[..., :90]).shape == (1, 2, 100, 90)


def test_enlarged_images_give_flow_in_their_own_pixels(raft):
    """What RAFT sees at twice the side, it says in the small images' pixels: half as many."""
    a, b = shifted_pair(2, 1)
    larger = RaftFlow("raft_small", updates=2, enlarge=2)
    larger.network = raft.network
    twice = [functional.interpolate(image, scale_factor=2.0, mode="bilinear") for image in (a, b)]
    with torch.no_grad():
        expected = raft.flow(*twice).unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).mean((-3, -1)) / 2
        torch.testing.assert_close(larger.flow(a, b), expected)


def test_gradient_reaches_both_images_and_no_weight(raft):
    a, b = (image.clone().requires_grad_() for image in shifted_pair(2, 1))
    raft.train()
    raft.flow(a, b).abs().mean().backward()
    for image in (a, b):
        assert torch.isfinite(image.grad).all() and image.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in raft.parameters())
    assert not raft.network.training


def test_sampling_a_flow_follows_the_displacement():
    row, column = torch.meshgrid(torch.arange(24.0), torch.arange(40.0), indexing="ij")
    moved = sample_flow(torch.stack([column, row])[None], constant_flow(4.0, -2.5, 24, 40))
    expected = torch.stack([(column + 4).clamp_max(39), (row - 2.5).clamp_min(0)])  # border values beyond the image
    torch.testing.assert_close(moved[0], expected, rtol=0, atol=1e-4)


def constant_flow(x, y, height=8, width=8):
    return torch.tensor([x, y])[None, :, None, None].expand(1, 2, height, width)


@pytest.mark.parametrize(("length", "gap"), [(0.0, 0.7107), (30.0, 4.0304)])
def test_the_check_allows_half_a_square_pixel_and_a_hundredth_of_the_lengths(length, gap):
    """gap^2 = 0.5 + 0.01 (length^2 + (length - gap)^2), the bound of Sundaram et al. 2010 where the gap is along."""
    for share, returns in ((0.99, True), (1.01, False)):
        back = constant_flow(share * gap - length, 0.0)
        assert (consistent(constant_flow(length, 0.0), back) == returns).all()


def test_consistency_finds_the_pixels_that_do_not_come_back():
    there = torch.zeros(1, 2, 32, 32)
    there[:, 0] = 3.0
    back = -there.clone()
    back[:, :, 10:20, 13:23] += 2.0  # seen from columns 10 .. 19
    mask = consistent(there, back)
    expected = torch.ones(1, 32, 32, dtype=torch.bool)
    expected[:, 10:20, 10:20] = False
    assert torch.equal(mask, expected)


def test_files(raft, tmp_path):
    path = tmp_path / "flow.safetensors"
    write_tensors(raft.network.state_dict(), path, {"kind": "flow", "estimator": "raft_small"})
    a, b = shifted_pair(2, 1)
    loaded = load_flow("raft_small", path)
    loaded.updates = 2
    torch.testing.assert_close(loaded.flow(a, b), raft.flow(a, b))
    of_recipe = {"kind": "flow", "estimator": "raft_small", "updates": 2, "enlarge": 3}
    write_tensors(raft.network.state_dict(), tmp_path / "ours.safetensors", of_recipe)
    ours = load_flow("raft_small", tmp_path / "ours.safetensors")
    assert (loaded.enlarge, ours.updates, ours.enlarge) == (1, 2, 3)
    with pytest.raises(InputError, match=r"holds raft_small, wanted is raft_large"):
        load_flow("raft_large", path)
    assert isinstance(load_flow("dis", tmp_path / "absent"), DisFlow)
    torch.save(raft.network.state_dict(), tmp_path / "raft.pth")
    assert raft_state("raft_small", tmp_path / "raft.pth").keys() == raft.network.state_dict().keys()
    with pytest.raises(InputError, match=r"raft\.pth: tensor .* (missing|unknown|expected)"):
        raft_state("raft_large", tmp_path / "raft.pth")
    with pytest.raises(InputError, match="no such file"):
        raft_state("raft_small", tmp_path / "absent.pth")
