"""Irradiance of a distant light in nine spherical harmonics (Ramamoorthi and Hanrahan 2001), and eq. 2 of the paper."""

import math

import torch
from torch import Tensor

C1, C2, C3, C4, C5 = 0.429043, 0.511664, 0.743125, 0.886227, 0.247708
"""The constants of Ramamoorthi and Hanrahan's eq. 12: real harmonics times the clamped cosine's coefficients."""


def sh_basis(normals: Tensor) -> Tensor:
    """The nine basis functions H_k of unit normals [..., 3] -> [..., 9].

    Order (DECA's): 1, x, y, z, xy, xz, yz, x^2 - y^2, 3 z^2 - 1. With l_k the light's harmonic coefficients L_lm, the
    sum of l_k H_k is the irradiance; `1 / C4` in the first coefficient alone is the light that shows every albedo as it
    is. DECA leaves pi out of the first function: its first coefficient is ours times pi.
    """
    x, y, z = normals.unbind(-1)
    one = torch.ones_like(x)
    basis = [C4 * one, 2 * C2 * x, 2 * C2 * y, 2 * C2 * z, 2 * C1 * x * y, 2 * C1 * x * z, 2 * C1 * y * z]
    return torch.stack([*basis, C1 * (x * x - y * y), C3 * z * z - C5], -1)


def white_light() -> Tensor:
    """Coefficients [9, 3] of a uniform light that shows every albedo as it is."""
    light = torch.zeros(9, 3)
    light[0] = 1 / C4
    return light


DECA_FIRST_BAND = math.pi
"""DECA's first light coefficient over ours, for the same light."""


def shade(albedo: Tensor, normals: Tensor, light: Tensor) -> Tensor:
    """Eq. 2, B = A * sum_k l_k H_k(N): albedo [B, ..., 3] and unit normals [B, ..., 3] under light [B, 9, 3] -> [B,
    ..., 3].

    Colours are last, as `interpolate` leaves them; an image [B, 3, H, W] of albedo with normals [B, H, W, 3] is taken
    too and gives an image. Normals and light share one set of axes. Nothing is clamped: a strong light can give values
    below 0 and above 1.
    """
    image = albedo.shape[:-1] != normals.shape[:-1] and albedo.shape == (len(normals), 3, *normals.shape[1:-1])
    if image:
        albedo = albedo.permute(0, 2, 3, 1)
    basis = sh_basis(normals)
    irradiance = (basis.flatten(1, -2) @ light).view(*basis.shape[:-1], 3)
    shaded = albedo * irradiance
    return shaded.permute(0, 3, 1, 2) if image else shaded
