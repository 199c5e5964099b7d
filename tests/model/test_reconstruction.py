"""Three photographs in, one textured head out: what is particular to putting the parts together."""

import torch

from mfnet.model.projection import decode
from mfnet.model.reconstruction import OUTLINE_MARGIN, textured
from mfnet.render import orthographic_view, rasterize
from tests.heads import open_flame
from tests.losses.scenes import rendered_scene, with_codes


def test_a_harsh_photograph_gives_colours_in_range():
    """Unwrapping corrects its texture beyond the photograph's own values where it changes from pixel to pixel."""
    scene, flame = rendered_scene(), open_flame()
    one = scene.truth[:1]
    photos = torch.rand(3, 3, 128, 128, generator=torch.Generator().manual_seed(0)).round()
    person = textured(flame, one, photos, texture_size=128)
    assert person.texture.shape == (3, 128, 128) and person.confidence.max() > 0.5
    assert person.texture.min() == 0 and person.texture.max() == 1


def test_the_cameras_distance_reaches_the_picture():
    scene, flame = rendered_scene(), open_flame()
    one = scene.truth[:1]
    photos = scene.batch.pixels()[0]
    flat, near = (textured(flame, one.with_inverse_distance(value), photos, texture_size=64) for value in (0.0, 2.0))
    assert torch.equal(flat.divisor, torch.ones_like(flat.divisor)) and near.divisor.std() > 0.02
    assert not torch.allclose(flat.texture, near.texture, atol=0.05)


def test_no_colour_is_taken_from_beside_the_head():
    """The head is grey, the wall green, and the camera says 3 % too large a head."""
    scene, flame = rendered_scene(), open_flame()
    one = scene.truth[:1]
    view = orthographic_view(decode(flame, one).vertices[0], flame.faces, one.views.camera[0])
    head = rasterize(view.clip, flame.faces, 128, 128).face_id > 0
    photos = torch.where(head[:, None], torch.tensor(0.5), torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1))
    larger = with_codes(one, camera=one.views.camera * torch.tensor([1.03, 1.0, 1.0]))
    believed, careful = (
        textured(flame, larger, photos, texture_size=128, margin=margin) for margin in (0.0, OUTLINE_MARGIN)
    )
    green = [(person.texture[1] - person.texture[0] > 0.1).float().mean() for person in (believed, careful)]
    assert green[0] > 0.01 and green[1] == 0
    assert careful.confidence.count_nonzero() > 0.8 * believed.confidence.count_nonzero()
