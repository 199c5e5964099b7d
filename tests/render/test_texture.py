import pytest
import torch

from mfnet.render import (
    face_texture,
    facial_mask,
    fill_holes,
    fuse_views,
    inside_outline,
    render_textured,
    sample_texture,
    unwrap,
)
from mfnet.render.view import LEAST_FACING
from tests.render.conftest import smooth_texture

MAGENTA = torch.tensor([1.0, 0, 1]).view(1, 3, 1, 1)


def photograph(head, texture, view, size=160):
    """A textured head before a magenta wall, and where the head is."""
    image, raster = render_textured(texture, view, head.layout(texture.shape[-1]), size, size)
    hit = (raster.face_id > 0)[:, None]
    return torch.where(hit, image, MAGENTA), hit[:, 0]


def grid(size):
    """The uv of every texel's centre [1, size, size, 2]."""
    step = (torch.arange(size) + 0.5) / size
    u, v = torch.meshgrid(step, 1 - step, indexing="xy")
    return torch.stack([u, v], -1)[None]


def test_sampling_at_the_centres_of_texels_is_the_texture():
    texture = torch.rand(1, 3, 17, 17, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(sample_texture(texture, grid(17)), texture, atol=1e-5, rtol=0)


def test_v_points_up_and_u_right():
    texture = torch.zeros(1, 1, 4, 4)
    texture[0, 0, 0, 3] = 1  # top row, right column
    assert sample_texture(texture, torch.tensor([[[[0.9, 0.9]]]])) == 1
    assert sample_texture(texture, torch.tensor([[[[0.9, 0.1]]]])) == 0


def test_layout_shows_each_texel_the_point_that_has_its_uv(head):
    layout = head.layout(64)
    from mfnet.render import interpolate

    uv = interpolate(head.uv, layout.raster, head.uv_faces)
    on = (layout.raster.barycentrics > 1e-5).all(-1)
    assert on.float().mean() > 0.4
    torch.testing.assert_close(uv[on], grid(64)[on], atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [512, 1024])
@pytest.mark.parametrize("cells", [12, 24])
def test_rendering_with_the_unwrapped_texture_gives_the_photograph_back(head, size, cells):
    view = head.view(0.0, 40.0, -60.0)
    photo, _ = photograph(head, smooth_texture(512, cells=cells), view, 224)
    layout = head.layout(size)
    texture, weight = unwrap(photo, view, layout)
    again, raster = render_textured(fill_holes(texture, weight), view, layout, 224, 224)
    seen, _ = render_textured((weight > 0).float()[:, None], view, layout, 224, 224)
    from mfnet.render import faces_of, region_of

    skin = region_of(raster, faces_of(head.masks["face"], head.faces))
    visible = skin & (seen[:, 0] > 0.999)
    assert visible.sum() > 0.9 * skin.sum()
    levels = (again - photo).abs().amax(1)[visible] * 255
    assert levels.max() < 2
    assert levels.mean() < 0.05


def test_hidden_texels_never_bleed_into_visible_ones(head):
    """What is hidden, what hides it and what lies beyond the outline each have a colour of their own."""
    view = head.view(55.0, -55.0)
    size = 256
    layout = head.layout(size)
    truth = smooth_texture(size, seed=1, cells=6)
    photo, _ = photograph(head, truth, view)
    texture, weight = unwrap(photo, view, layout)
    known = weight > 0
    assert 0.15 < known.float().mean() < 0.6
    error = (texture - truth).abs().amax(1)[known] * 255
    assert error.max() < 12 and torch.quantile(error[::3], 0.99) < 3  # magenta or another surface would be far off
    filled = fill_holes(texture, weight)
    assert torch.equal(filled.movedim(1, -1)[known], texture.movedim(1, -1)[known])
    assert not texture.movedim(1, -1)[~known].any()


def test_a_head_drawn_too_large_takes_no_colour_of_the_wall(head):
    """Grey heads before a magenta wall, drawn 3 % larger than photographed: coloured texels show the wall."""
    yaws, size = (0.0, 45.0, -45.0), 256
    layout, grey = head.layout(size), smooth_texture(size).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    photo, _ = photograph(head, grey, head.view(*yaws))
    fitting, larger = head.view(*yaws), head.view(*yaws, enlarged=1.03)
    texture, weight = unwrap(photo, larger, layout)
    coloured = (texture[:, 0] - texture[:, 1]).abs() > 0.05
    inside = inside_outline(larger, layout, 160, 160, 0.05)
    assert (coloured & (weight > 0)).sum() > 1000 and not (coloured & inside & (weight > 0)).any()
    # Little is given up, and nothing is with no margin where the head fits.
    seen = unwrap(photo, fitting, layout)[1] > 0
    assert (seen & inside_outline(fitting, layout, 160, 160, 0.05)).sum() > 0.7 * seen.sum()
    assert (seen & inside_outline(fitting, layout, 160, 160, 0.0)).sum() > 0.999 * seen.sum()


def test_surfaces_behind_another_are_hidden_although_they_face_the_camera(head):
    view = head.view(50.0)
    layout = head.layout(256)
    _, weight = unwrap(torch.ones(1, 3, 160, 160), view, layout)
    from mfnet.render.texture import Raster, interpolate

    raster = Raster(*layout.raster)
    facing = interpolate(view.facing[..., None].contiguous(), raster, head.faces)[..., 0]
    face = facial_mask(layout, head.masks["face"])
    towards = (facing[0] > 0.3) & face
    hidden = towards & (weight[0] == 0)
    assert hidden.sum() > 50  # the far cheek and eye behind the nose
    assert (weight[weight > 0] >= LEAST_FACING).all()


def test_filling_is_smooth_and_touches_only_holes():
    generator = torch.Generator().manual_seed(0)
    row = torch.linspace(0, 1, 64).expand(1, 2, 64, 64)
    known = torch.rand(1, 64, 64, generator=generator) > 0.6
    known[:, 20:30, 20:30] = False
    filled = fill_holes(torch.where(known[:, None], row, torch.full_like(row, 9.0)), known)
    assert torch.equal(filled.movedim(1, -1)[known], row.movedim(1, -1)[known])
    assert (filled - row).abs().max() < 0.1
    assert filled.min() >= 0 and filled.max() <= 1  # never beyond what is known, and nothing of the 9


@pytest.mark.parametrize("size", [1, 7, 33])
def test_filling_odd_sizes_and_nothing_known(size):
    texture = torch.rand(2, 3, size, size)
    assert torch.equal(fill_holes(texture, torch.zeros(2, size, size)), torch.zeros_like(texture))
    known = torch.zeros(2, size, size)
    known[:, 0, 0] = 1
    filled = fill_holes(texture, known)
    torch.testing.assert_close(filled, texture[:, :, :1, :1].expand_as(filled))


def test_filling_has_the_gradient_of_finite_differences():
    texture = torch.rand(1, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    known = (torch.arange(25).view(1, 5, 5) % 3 == 0).double()
    assert torch.autograd.gradcheck(lambda t: fill_holes(t, known), texture)


def test_fusion_prefers_the_view_that_faces_the_texel():
    textures = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1, 1).expand(1, 2, 1, 1, 4)
    weights = torch.tensor([[[[0.9, 0.9, 0.0, 0.0]], [[0.3, 0.0, 0.5, 0.0]]]])
    fused, weight = fuse_views(textures, weights)
    torch.testing.assert_close(fused[0, 0, 0], torch.tensor([0.1, 0.0, 1.0, 0.0]))
    torch.testing.assert_close(weight[0, 0], torch.tensor([0.9, 0.9, 0.5, 0.0]))


def test_three_views_together_know_more_and_agree(head):
    view, truth, layout = head.view(0.0, 45.0, -45.0), smooth_texture(256, cells=6), head.layout(256)
    photo, _ = photograph(head, truth, view)
    texture, weight = unwrap(photo, view, layout)
    fused, best = fuse_views(texture[None], weight[None])
    face = facial_mask(layout, head.masks["face"])
    shares = [(w[face] > 0).float().mean() for w in [*weight, best[0]]]
    assert shares[3] > max(shares[:3]) + 0.03 and shares[3] > 0.95
    known = (best[0] > 0) & face
    assert ((fused - truth).abs().amax(1)[0][known] * 255).quantile(0.99) < 2
    masked = face_texture(fused, best, face)[0]
    assert not masked[:, ~face].any() and torch.equal(masked[:, known], fused[0][:, known])
    assert torch.equal(face_texture(fused, best), fill_holes(fused, best))  # without a mask: the whole head


def test_gradient_reaches_photograph_and_pose(head):
    layout, truth = head.layout(48), smooth_texture(64)
    view = head.view(20.0)
    photo, _ = photograph(head, truth, view, 64)
    photo = photo.double().requires_grad_()
    clip = view.clip.double().requires_grad_()
    view = view._replace(clip=clip, distance=view.distance.double(), facing=view.facing.double())
    texture, weight = unwrap(photo, view, layout._replace(raster=_double(layout.raster)))
    target = torch.rand(texture.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (texture * target).sum().backward()
    assert photo.grad.abs().sum() > 0
    # One number to check along: the whole head shifts sideways.
    step = 1e-6
    sums = []
    for sign in (1, -1):
        moved = clip.detach() + sign * step * torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
        other, w = unwrap(photo.detach(), view._replace(clip=moved), layout._replace(raster=_double(layout.raster)))
        assert torch.equal(w > 0, weight > 0)
        sums.append((other * target).sum())
    expected = (sums[0] - sums[1]) / (2 * step)
    torch.testing.assert_close(clip.grad[..., 0].sum(), expected, rtol=1e-3, atol=1e-3)


def _double(raster):
    return type(raster)(raster.face_id, raster.barycentrics.double(), raster.depth.double())
