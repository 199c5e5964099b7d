"""Drawing and developing, on two squares one behind the other."""

from types import SimpleNamespace

import pytest
import torch

from mfnet.render import sh_basis
from mfnet.synthetic.photo import BEHIND, INSIDE, develop, draw, not_hidden, shade_normals, visible_points

NEAR, FAR_AWAY = 0.1, -0.1
LIGHT = torch.zeros(1, 1, 9, 3)
LIGHT[:, :, 0] = 0.6 / sh_basis(torch.tensor([0.0, 0, 1]))[0]  # ambient light that shades everything with 0.6


@pytest.fixture
def squares():
    """Head-like: a near square in the image's right half, a far one that fills it; every vertex has two in UV."""
    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    vertices = torch.cat([torch.cat([corners, torch.full((4, 1), FAR_AWAY)], 1), torch.zeros(4, 3)])
    vertices[4:] = vertices[:4]
    vertices[4:, 0] = vertices[4:, 0].clamp_min(0)
    vertices[4:, 2] = NEAR
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    uv = torch.cat([corners, corners]).add(1).div(2)
    return SimpleNamespace(vertices=vertices, faces=faces, uv=uv[torch.tensor([7, 6, 5, 4, 3, 2, 1, 0])])


def drawing(head, faces=None, size=16):
    clip = torch.cat([head.vertices * torch.tensor([1, 1, -1.0]), torch.ones(8, 1)], 1)[None]
    head.faces = head.faces if faces is None else faces
    head.uv_map = head.uv, 7 - head.faces
    texture = torch.full((1, 3, 4, 4), 0.5)
    normals = torch.tensor([0.0, 0, 1]).expand(1, 8, 3)
    return draw(head, clip, head.vertices[None, :, 2], texture, normals, (size, size))


def test_the_nearer_square_hides_the_other(squares):
    depth = drawing(squares).depth[0]
    assert torch.allclose(depth[:, :8], torch.tensor(FAR_AWAY)) and torch.allclose(depth[:, 8:], torch.tensor(NEAR))


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_developing_shades_the_albedo(squares, factor):
    colours, cover = develop(drawing(squares), LIGHT, factor)
    assert colours.shape == (1, 1, 3, 16 // factor, 16 // factor)
    assert torch.allclose(colours, torch.tensor(0.3), atol=1e-5) and torch.equal(cover, torch.ones_like(cover))


def test_the_inside_of_the_head_is_dark(squares):
    turned = squares.faces.clone()
    turned[2:] = turned[2:].flip(1)
    colours, _ = develop(drawing(squares, turned), LIGHT, 1)
    assert torch.allclose(colours[..., :8], torch.tensor(0.3), atol=1e-5)
    assert torch.allclose(colours[..., 8:], torch.tensor(0.3 * INSIDE), atol=1e-5)


def test_background_is_black_and_far(squares):
    squares.vertices = squares.vertices * 0.5
    picture = drawing(squares)
    assert not picture.albedo[0, :, 0].any() and not picture.cover[0, :, 0].any()
    assert (picture.depth[0, 0] == BEHIND).all()


def test_shading_is_never_negative():
    normals = torch.nn.functional.normalize(torch.randn(100, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    light = torch.randn(9, 3, generator=torch.Generator().manual_seed(1))
    assert shade_normals(normals, light).min() > 0


def test_visible_points_are_in_front_and_in_the_image(squares):
    points = torch.tensor(
        [[[-0.5, 0, FAR_AWAY], [0.5, 0, FAR_AWAY], [0.5, 0, NEAR], [1.5, 0, NEAR], [0.5, 0, NEAR - 0.003]]]
    )
    clip = torch.cat([points * torch.tensor([1, 1, -1.0]), torch.ones(1, 5, 1)], -1)
    assert visible_points(points, clip, drawing(squares).depth).tolist() == [[True, False, True, False, True]]


def test_a_point_counts_as_seen_up_to_the_tolerance_behind_the_farthest_neighbour():
    depth = torch.full((1, 6, 6), 1.0)
    depth[0, :, 3:] = 0.5
    pixels = torch.tensor([[[1.5, 2.5], [2.5, 2.5], [4.5, 2.5], [1.5, 2.5], [-9.0, 99.0]]])
    towards = torch.tensor([[0.99, 0.99, 0.499, 2.0, 0.9961]])
    assert not_hidden(depth, pixels, towards).tolist() == [[False, True, True, True, True]]
    assert not_hidden(depth, pixels, towards, tolerance=0.02).all()


def test_nothing_is_hidden_before_the_background():
    depth = torch.full((1, 4, 4), BEHIND)
    assert not_hidden(depth, torch.rand(1, 3, 2) * 4, torch.tensor([[-5.0, 0.0, 5.0]])).all()
