"""The texture of a fitted head, from photographs of a drawn person whose skin is known."""

import numpy as np
import torch

from mfnet.render.texture import uv_layout
from mfnet.texturing.symmetry import mirrored_uv
from mfnet.texturing.texture import feathered, islands, with_mirror_image
from tests.heads import open_flame


def test_views_fade_in_from_the_border_of_what_they_see():
    seen = np.zeros((240, 240), bool)
    seen[:, 60:180] = True
    fade = feathered(seen)
    assert (fade[~seen] == 0).all() and fade[120, 120] == 1 and 0 < fade[120, 62] < fade[120, 66] < 1


def test_the_unseen_half_is_the_mirror_image_in_its_own_light():
    flame, size = open_flame(), 128
    uv = mirrored_uv(flame, uv_layout(flame.faces, *flame.uv_map, size))
    rows = torch.linspace(0.2, 0.7, size)[:, None].expand(size, size)
    colour = torch.stack([rows, rows.flip(0), torch.full_like(rows, 0.4)])
    light = torch.linspace(0.9, 1.1, size)  # from one side
    seen = torch.zeros(size, size)
    seen[:, :80] = 0.9  # the left half and some of the right one
    truth = colour * light
    found, known = with_mirror_image(truth * (seen > 0), seen, uv)
    torch.testing.assert_close(found[:, :, :80], truth[:, :, :80])
    hidden = known & (seen == 0)
    assert hidden.sum() > 300
    assert (found - truth)[:, hidden].abs().mean() < 0.06
    assert not found[:, ~known].any()


def test_islands_are_the_connected_parts_of_the_layout():
    faces = np.array([[0, 1, 2], [2, 1, 3], [4, 5, 6]])
    found = islands(faces)
    assert found[0] == found[1] != found[2]
