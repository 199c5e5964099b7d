from dataclasses import replace

import pytest
import torch

from mfnet.geometry import vertex_normals
from mfnet.losses.photometric import TEXELS, Photometric, photometric_loss, smooth_texture_space
from mfnet.model.projection import decode
from mfnet.render import comparable_faces, orthographic_view, region_of, render_shaded
from tests.losses.scenes import with_codes


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
    """Photographs drawn from known albedo codes by near cameras cost nothing at these codes, and codes descend to
    them."""
    space = smooth_texture_space(12)
    term = Photometric(flame, space)
    codes = torch.randn(4, 3, 12, generator=torch.Generator().manual_seed(0))
    truth = with_codes(scene.truth, albedo=codes).with_inverse_distance(1.5)
    heads = decode(flame, truth)
    vertices = heads.vertices.flatten(0, 1)
    view = orthographic_view(vertices, flame.faces, heads.cameras.flatten(0, 1), heads.divisor.flatten(0, 1))
    normals = vertex_normals(vertices, flame.faces)
    light = truth.views.light.flatten(0, 1)
    photos, raster = render_shaded(space(codes.flatten(0, 1)), normals, light, view, term.layout, (64, 64))
    photos = photos.unflatten(0, (4, 3))
    assert term(heads, truth.views, photos) < 1e-6
    skin = region_of(raster, comparable_faces(flame.faces, flame.masks)).view(4, 3, 1, 64, 64)
    assert term(heads, truth.views, torch.where(skin, photos, 1 - photos)) < 1e-6  # mouth, eyes, neck and wall are free
    assert term(heads, truth.views, torch.where(skin, photos + 0.1, photos)).item() == pytest.approx(0.1, abs=1e-5)
    free = torch.zeros_like(codes).requires_grad_()
    optimiser = torch.optim.Adam([free], lr=0.1)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        losses.append(term(heads, replace(truth.views, albedo=free), photos))
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.4 * losses[0]


def test_shading_tells_how_deep_the_head_is(flame, scene):
    """Stretched towards the camera, even skin changes its normals alone: the gradient is that of finite differences."""
    space = smooth_texture_space(1)
    light = torch.zeros(4, 3, 9, 3)
    light[:, :, 0], light[:, :, 1] = 2.5, 0.8
    truth = with_codes(scene.truth, albedo=torch.zeros(4, 3, 1), light=light)
    term, heads = Photometric(flame, space), decode(flame, truth)

    def value(depth: torch.Tensor) -> torch.Tensor:
        vertices = heads.vertices * torch.stack([torch.ones(()), torch.ones(()), depth])
        return term(replace(heads, vertices=vertices), truth.views, torch.zeros(4, 3, 3, 64, 64))

    depth = torch.ones((), requires_grad=True)
    (slope,) = torch.autograd.grad(value(depth), depth)
    numeric = (value(torch.tensor(1.02)) - value(torch.tensor(0.98))) / 0.04
    assert slope.item() == pytest.approx(numeric.item(), rel=0.05) and slope.abs() > 1e-3
