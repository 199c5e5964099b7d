from dataclasses import replace

import pytest
import torch

from mfnet.geometry import vertex_normals
from mfnet.losses.heads import decode
from mfnet.losses.photometric import TEXELS, Photometric, photometric_loss, smooth_texture_space
from mfnet.render import orthographic_view, render_shaded


def test_is_the_masked_mean_over_colours():
    photo, render = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    render[:, 0] = 0.6
    render[..., 2:] = 1.0
    mask = torch.zeros(1, 4, 4)
    mask[..., :2] = 1
    assert photometric_loss(photo, render, mask).item() == pytest.approx(0.2)


def test_the_smooth_space_starts_coarse_and_is_not_degenerate():
    space = smooth_texture_space(50)
    directions = space.directions.unflatten(1, (3, TEXELS, TEXELS))
    assert directions.shape[0] == 50 and torch.linalg.matrix_rank(space.directions) == 50
    assert directions[0].std() < 1e-6 and directions[0, 0, 0, 0] > 0  # brighter all over
    skin = space(torch.zeros(1, 50))
    assert skin.std(dim=(2, 3)).max() < 1e-6 and 0 < skin.min() and skin.max() < 1


def test_codes_of_a_render_are_recovered(flame, scene):
    """Photographs drawn from known albedo codes cost nothing at these codes, and codes descend to them."""
    space = smooth_texture_space(12)
    term = Photometric(flame, space)
    codes = torch.randn(4, 3, 12, generator=torch.Generator().manual_seed(0))
    truth = replace(scene.truth, albedo=codes)
    heads = decode(flame, truth)
    vertices = heads.vertices.flatten(0, 1)
    view = orthographic_view(vertices, flame.faces, heads.cameras.flatten(0, 1))
    normals = vertex_normals(vertices, flame.faces)
    photos, _ = render_shaded(space(codes.flatten(0, 1)), normals, truth.light.flatten(0, 1), view, term.layout, 64, 64)
    photos = photos.unflatten(0, (4, 3))
    assert term(heads, truth, photos) < 1e-6
    free = torch.zeros_like(codes).requires_grad_()
    optimiser = torch.optim.Adam([free], lr=0.1)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        losses.append(term(heads, replace(truth, albedo=free), photos))
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.4 * losses[0]
