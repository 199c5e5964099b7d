"""Starts: one file for every architecture, for one head; a model made from it answers as the start did."""

import pytest
import torch

from mfnet.errors import InputError
from mfnet.model.pretrained import PretrainedNetwork, load_pretrained, mfnet_from_pretrained, save_pretrained, variants
from tests.settings import CROP_SCALE


@pytest.fixture
def start(box_head, small):
    torch.manual_seed(0)
    network = PretrainedNetwork(small(), box_head, CROP_SCALE).eval()
    with torch.no_grad():  # far from the small first answers, so that equality means something
        for parameter in network.person_regressors.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def images(batch):
    return torch.rand(batch, 3, 3, 96, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["concat1", "concat2", "concat3", "set"])
def test_model_answers_as_its_start(start, box_head, small, name):
    params = variants(small())[name]
    model = start.model(params, box_head).eval()
    batch = images(2)
    expected = start(batch)[name]
    got = model(batch.flatten(0, 1)[:, None] if name == "concat1" else batch[:, : params.views])
    torch.testing.assert_close(got.person.shape, expected.person.shape)
    torch.testing.assert_close(got.views.camera, expected.views.camera)


def test_file_round_trip(start, box_head, small, tmp_path):
    path = tmp_path / "encoder.safetensors"
    save_pretrained(start, path, half=False, seed=1, steps=2)
    torch.testing.assert_close(load_pretrained(path, box_head).state_dict(), start.state_dict(), rtol=0, atol=0)
    full = path.stat().st_size
    save_pretrained(start, path, half=True, seed=1, steps=2)
    assert path.stat().st_size < 0.55 * full
    half = mfnet_from_pretrained(small(), box_head, path).eval()(images(2)).person.shape
    torch.testing.assert_close(half, start(images(2))["concat3"].person.shape, rtol=0.02, atol=0.02)


def test_refuses_another_head_with_the_remedy(start, other_head, tmp_path):
    save_pretrained(start, tmp_path / "encoder.safetensors", half=True)
    with pytest.raises(InputError, match=r"head_hash is a+, .* b+: set pretrained\.encoder\.source: train$"):
        load_pretrained(tmp_path / "encoder.safetensors", other_head, "set pretrained.encoder.source: train")


def test_refuses_another_trunk(start, box_head, small, tmp_path):
    save_pretrained(start, tmp_path / "encoder.safetensors", half=True)
    with pytest.raises(InputError, match=r"model\.width is 0\.25, params ask for 0\.5"):
        mfnet_from_pretrained(small(width=0.5), box_head, tmp_path / "encoder.safetensors")
