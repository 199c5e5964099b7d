"""Mirror images in the texture."""

import numpy as np
import torch

from mfnet.render.texture import uv_layout
from mfnet.texturing.symmetry import mirrored_uv, mirrored_vertices
from tests.heads import open_flame, open_head


def test_vertices_change_sides():
    found, vertices = mirrored_vertices(open_flame()), open_head().v_template
    assert (found >= 0).mean() > 0.99
    pairs = found >= 0
    np.testing.assert_allclose(vertices[found[pairs]], vertices[pairs] * [-1, 1, 1], atol=1e-3)


def test_a_texel_and_its_mirror_image_are_opposite_places_of_the_head():
    flame = open_flame()
    layout = uv_layout(flame.faces, *flame.uv_map, 128)
    found = mirrored_uv(flame, layout)
    on_head = layout.raster.face_id[0] > 0
    assert found[on_head].isfinite().all(-1).float().mean() > 0.99
    assert found[~on_head].isnan().all()
    u = (torch.arange(128) + 0.5) / 128
    mean = torch.stack(torch.meshgrid(u, 1 - u, indexing="xy"), -1)
    face = flame.masks["face"][flame.faces].all(-1)[(layout.raster.face_id[0].long() - 1).clamp_min(0)] & on_head
    opposite = torch.stack([1 - mean[..., 0], mean[..., 1]], -1)  # this head's face island is symmetric in u
    torch.testing.assert_close(found[face], opposite[face], atol=0.01, rtol=0)
