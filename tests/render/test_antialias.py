import pytest
import torch

from mfnet.geometry import clip_from_orthographic
from mfnet.render import rasterize
from mfnet.render.antialias import antialias, opposite_vertices
from tests.render.meshes import bumpy_sphere, triangle_soup


def white_on_black(clip, faces, size):
    raster = rasterize(clip, faces, size, size)
    image = (raster.face_id > 0).to(clip.dtype)[..., None].expand(-1, -1, -1, 2).contiguous()
    return antialias(image, raster, clip, faces)[..., 0]


def sphere(radius):
    vertices, faces = bumpy_sphere(dtype=torch.float64, subdivisions=1)  # faces of several pixels
    return clip_from_orthographic(vertices * radius, torch.tensor([[1.0, 0.013, 0.021]], dtype=torch.float64)), faces


def test_opposite_vertices_of_a_tent_and_its_borders():
    faces = torch.tensor([[0, 1, 2], [2, 1, 3]])
    assert opposite_vertices(faces).tolist() == [[3, -1, -1], [-1, -1, 0]]
    fan = torch.tensor([[0, 1, 2], [0, 1, 3], [1, 0, 4]])  # three faces on one edge: no single face beyond
    assert opposite_vertices(fan)[:, 2].tolist() == [-1, -1, -1]


def test_covered_share_of_a_half_plane():
    edge = 20.3  # pixels from the left
    x = edge / 16 - 1
    clip = torch.tensor([[[-3.0, -3, 0, 1], [x, -3, 0, 1], [x, 3, 0, 1], [-3, 3, 0, 1]]], dtype=torch.float64)
    image = white_on_black(clip, torch.tensor([[0, 1, 2], [0, 2, 3]]), 32)
    expected = torch.tensor([1.0] * 20 + [0.3] + [0.0] * 11, dtype=torch.float64)
    torch.testing.assert_close(image[0], expected.expand(32, 32))
    turned = white_on_black(clip[..., [1, 0, 2, 3]], torch.tensor([[0, 1, 2], [0, 2, 3]]), 32)
    torch.testing.assert_close(turned[0], expected.flip(0)[:, None].expand(32, 32))


def test_inner_edges_are_not_outlines():
    clip, faces = sphere(1.0)
    raster = rasterize(clip, faces, 64, 64)
    image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    changed = (antialias(image, raster, clip, faces) != image).any(-1)[0]
    assert 50 < changed.sum() < 0.2 * (raster.face_id > 0).sum()


def test_sum_grows_with_the_area_as_its_gradient_says():
    sums, gradients = [], []
    for radius in torch.linspace(0.80, 0.82, 9, dtype=torch.float64):
        radius.requires_grad_()
        total = white_on_black(*sphere(radius), 96).sum()
        gradients.append(torch.autograd.grad(total, radius)[0])
        sums.append(total.detach())
    slope = (sums[-1] - sums[0]) / 0.02
    assert torch.stack(gradients).mean() == pytest.approx(float(slope), rel=0.12)
    assert slope == pytest.approx(2 * float(sums[4]) / 0.81, rel=0.06)  # area goes with the square


@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_those_of_finite_differences(seed):
    clip, faces = triangle_soup(batch=1, faces=5, seed=seed)
    raster = rasterize(clip, faces, 24, 24)
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 24, 24, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(1, 24, 24, 2, generator=generator, dtype=torch.float64)
    clip.requires_grad_()
    (antialias(image, raster, clip, faces) * weight).sum().backward()
    for tensor, count in ((clip, 60), (image, 60)):
        flat = tensor.detach().clone()
        picks = torch.randperm(flat.numel(), generator=generator)[:count]
        for place in picks:
            ends = []
            for sign in (1e-7, -1e-7):
                moved = flat.clone()
                moved.view(-1)[place] += sign
                pair = (image.detach(), moved) if tensor is clip else (moved, clip.detach())
                ends.append((antialias(pair[0], raster, pair[1], faces) * weight).sum())
            expected = (ends[0] - ends[1]) / 2e-7
            torch.testing.assert_close(tensor.grad.view(-1)[place], expected, atol=1e-5, rtol=1e-5)
    assert clip.grad.abs().sum() > 1


def test_what_lies_behind_the_camera_is_left_alone():
    clip, faces = triangle_soup(batch=1, faces=6, seed=1)
    clip[0, ::4, 3] *= -1
    clip.requires_grad_()
    raster = rasterize(clip.detach(), faces, 24, 24)
    out = antialias(torch.rand(1, 24, 24, 1, dtype=torch.float64), raster, clip, faces)
    out.sum().backward()
    assert out.isfinite().all() and clip.grad.isfinite().all()


def test_refuses_an_image_of_another_size():
    clip, faces = sphere(1.0)
    with pytest.raises(ValueError, match="image"):
        antialias(torch.zeros(1, 8, 8, 3, dtype=torch.float64), rasterize(clip, faces, 9, 9), clip, faces)
