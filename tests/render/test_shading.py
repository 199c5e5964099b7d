import math

import pytest
import torch

from mfnet.render import sh_basis, shade
from mfnet.render.shading import C4


def directions(n=200_000, seed=0):
    points = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(points, dim=-1)


def harmonics(n):
    """Real spherical harmonics up to degree 2 in the order of `sh_basis`, from their definition."""
    x, y, z = n.unbind(-1)
    first, second = math.sqrt(3 / (4 * math.pi)), math.sqrt(15 / (4 * math.pi))
    values = [torch.full_like(x, math.sqrt(1 / (4 * math.pi))), first * x, first * y, first * z]
    values += [second * x * y, second * x * z, second * y * z, second / 2 * (x * x - y * y)]
    return torch.stack([*values, math.sqrt(5 / (16 * math.pi)) * (3 * z * z - 1)], -1)


def test_basis_is_the_irradiance_of_each_harmonic():
    light = directions()
    normals = directions(5, seed=1)
    cosine = (normals @ light.T).clamp_min(0)
    irradiance = cosine @ harmonics(light) * (4 * math.pi / len(light))  # Monte Carlo over the sphere
    torch.testing.assert_close(sh_basis(normals), irradiance, atol=0.02, rtol=0)


def test_basis_is_the_clamped_cosine_times_the_harmonics():
    normals = directions(100)
    lobes = torch.tensor([math.pi] + [2 * math.pi / 3] * 3 + [math.pi / 4] * 5, dtype=torch.float64)
    torch.testing.assert_close(sh_basis(normals), lobes * harmonics(normals), atol=2e-6, rtol=0)


def test_uniform_light_shows_the_albedo():
    light = torch.zeros(2, 9, 3)
    light[:, 0] = 1 / C4
    albedo, normals = torch.rand(2, 5, 7, 3), directions(70).view(2, 5, 7, 3).float()
    torch.testing.assert_close(shade(albedo, normals, light), albedo)


def test_light_from_the_left_lights_the_left():
    light = torch.zeros(1, 9, 3)
    light[0, 0], light[0, 1] = 1.0, torch.tensor([1.0, 0.5, 0.0])
    normals = torch.tensor([[[1.0, 0, 0], [-1, 0, 0]]])
    lit = shade(torch.ones(1, 2, 3), normals, light)[0]
    assert (lit[0, :2] > lit[1, :2]).all() and lit[0, 2] == lit[1, 2]


def test_images_and_colours_last_agree():
    albedo, normals, light = torch.rand(2, 4, 5, 3), directions(40).view(2, 4, 5, 3).float(), torch.randn(2, 9, 3)
    image = shade(albedo.permute(0, 3, 1, 2), normals, light)
    torch.testing.assert_close(image.permute(0, 2, 3, 1), shade(albedo, normals, light))


@pytest.mark.parametrize("which", ["albedo", "normals", "light"])
def test_gradient(which):
    generator = torch.Generator().manual_seed(3)
    inputs = {
        "albedo": torch.rand(2, 3, 3, generator=generator, dtype=torch.float64),
        "normals": directions(6).view(2, 3, 3),
        "light": torch.randn(2, 9, 3, generator=generator, dtype=torch.float64),
    }
    inputs[which].requires_grad_()
    assert torch.autograd.gradcheck(lambda value: shade(**{**inputs, which: value}), inputs[which])
