"""Encoder: torchvision's own network at width 1, shapes, and the flat head's independence of the image size."""

import pytest
import torch
import torchvision

from mfnet.nets.encoder import Encoder, Trunk


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_full_width_is_torchvisions_network(backbone):
    reference = torchvision.models.get_model(backbone).eval()
    encoder = Encoder(backbone, 1.0, "pool").eval()
    state = {name: value for name, value in reference.state_dict().items() if not name.startswith("fc.")}
    encoder.trunk.load_state_dict(state)
    reference.fc = torch.nn.Identity()
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(encoder(images), reference(images), rtol=1e-5, atol=1e-5)


def test_width_scales_every_layer():
    full, half = Trunk("resnet18", 1.0), Trunk("resnet18", 0.5)
    assert half.channels == 256
    for (name, a), (_, b) in zip(full.named_parameters(), half.named_parameters(), strict=True):
        assert a.shape[0] == 2 * b.shape[0], name


@pytest.mark.parametrize(("head", "features"), [("pool", 128), ("flat", 64 * 9)])
@pytest.mark.parametrize("side", [96, 128, 160])
def test_features_for_any_image_size(head, features, side):
    encoder = Encoder("resnet18", 0.25, head).eval()
    assert encoder.features == features
    assert encoder(torch.rand(2, 3, side, side)).shape == (2, features)


def test_flat_head_keeps_where_things_are():
    """A picture and its mirror image give other features, not only the same ones in another order of columns."""
    torch.manual_seed(0)
    encoder = Encoder("resnet18", 0.25, "flat").eval()
    images = torch.rand(1, 3, 96, 96)
    maps = encoder(images).unflatten(1, (64, 3, 3))
    assert maps.std(dim=(2, 3)).mean() > 0.05 * maps.std()
