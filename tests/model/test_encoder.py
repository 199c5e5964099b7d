"""Encoder: torchvision's own network at width 1, shapes, and spatial pooling's independence of the image size."""

import pytest
import torch
import torchvision

from mfnet.model.encoder import Encoder, LandmarkHead, Trunk


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_full_width_is_torchvisions_network(backbone):
    reference = torchvision.models.get_model(backbone).eval()
    encoder = Encoder(backbone, 1.0, "global_average").eval()
    state = {name: value for name, value in reference.state_dict().items() if not name.startswith("fc.")}
    encoder.trunk.load_state_dict(state)
    reference.fc = torch.nn.Identity()
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(encoder(images), reference(images), rtol=1e-5, atol=1e-5)


def test_width_scales_every_layer():
    full, half = Trunk("resnet18", 1.0), Trunk("resnet18", 0.5)
    assert half.channels == [32, 64, 128, 256]
    for (name, a), (_, b) in zip(full.named_parameters(), half.named_parameters(), strict=True):
        assert a.shape[0] == 2 * b.shape[0], name


@pytest.mark.parametrize(("pooling", "features"), [("global_average", 128), ("spatial", 64 * 9 + 136)])
@pytest.mark.parametrize("side", [96, 128, 160])
def test_features_for_any_image_size(pooling, features, side):
    encoder = Encoder("resnet18", 0.25, pooling).eval()
    assert encoder.features == features
    assert encoder(torch.rand(2, 3, side, side)).shape == (2, features)


def test_spatial_pooling_keeps_where_things_are():
    """A picture and its mirror image give other features, not only the same ones in another order of columns."""
    torch.manual_seed(0)
    encoder = Encoder("resnet18", 0.25, "spatial").eval()
    images = torch.rand(1, 3, 96, 96)
    maps = encoder(images)[:, :-136].unflatten(1, (64, 3, 3))
    assert maps.std(dim=(2, 3)).mean() > 0.05 * maps.std()


def test_located_landmarks_are_the_means_of_the_heat_maps():
    """Heat maps that are sharp at one cell give that cell's centre: x right, y up."""
    locator = LandmarkHead([4, 4], width=8)
    with torch.no_grad():
        for parameter in locator.parameters():
            parameter.zero_()
    layers = [torch.zeros(1, 4, 24, 24), torch.zeros(1, 4, 12, 12)]
    torch.testing.assert_close(locator(layers), torch.zeros(1, 68, 2))  # flat maps: the middle
    with torch.no_grad():
        locator.lateral[0].weight[0, 0] = 1.0
        locator.smooth[0].weight[0, 0, 1, 1] = 1.0
        locator.smooth[1].weight.fill_(1.0)
        locator.maps.weight[:, 0] = 50.0
    layers[0][0, 0, 5, 20] = 10.0
    expected = torch.tensor([2 * 20.5 / 24 - 1, 1 - 2 * 5.5 / 24]).expand(1, 68, 2)
    torch.testing.assert_close(locator.eval()(layers), expected, rtol=0, atol=1e-3)


def test_located_landmarks_are_part_of_the_features():
    torch.manual_seed(0)
    encoder = Encoder("resnet18", 0.25, "spatial").eval()
    images = torch.rand(2, 3, 96, 96)
    torch.testing.assert_close(encoder.located(encoder(images)), encoder.locator(encoder.trunk(images)))
