"""Three photographs in, one textured head out: what is particular to putting the parts together."""

import torch

from mfnet.reconstruction import textured
from tests.losses.scenes import procedural_flame, rendered_scene


def test_a_harsh_photograph_gives_colours_in_range():
    """Unwrapping corrects its texture beyond the photograph's own values where it changes from pixel to pixel."""
    scene, flame = rendered_scene(), procedural_flame()
    one = type(scene.truth)(**{name: value[:1] for name, value in vars(scene.truth).items()})
    photos = torch.rand(3, 3, 128, 128, generator=torch.Generator().manual_seed(0)).round()
    person = textured(flame, one, photos, texture_size=128)
    assert person.texture.shape == (3, 128, 128) and person.known.max() > 0.5
    assert person.texture.min() == 0 and person.texture.max() == 1


def test_the_cameras_distance_reaches_the_picture():
    scene, flame = rendered_scene(), procedural_flame()
    one = type(scene.truth)(**{name: value[:1] for name, value in vars(scene.truth).items()})
    photos = scene.batch.pixels()[0]
    flat, near = (textured(flame, one, photos, closeness, texture_size=64) for closeness in (0.0, 2.0))
    assert torch.equal(flat.shrink, torch.ones_like(flat.shrink)) and near.shrink.std() > 0.02
    assert not torch.allclose(flat.texture, near.texture, atol=0.05)
