"""Lighting as nine spherical-harmonic coefficients per colour: Multi-PIE's illuminations and random ones.

Multi-PIE's room light is on in every picture; numbers 00 and 19 have no flash, 01-18 one flash each. Where the flashes
hung is known only roughly: here 01-13 stand at the 13 head-height cameras from the subject's right (+90 degrees) to the
left, so that 07 is frontal, and 14-18 hang 40 degrees above the head at -60, -30, 0, 30 and 60 degrees.
"""

import functools

import numpy as np
import torch

from mfnet.render import sh_basis

NO_FLASH = (0, 19)
FLASH_YAWS = {number: 90.0 - 15.0 * (number - 1) for number in range(1, 14)}
RAISED_YAWS = {14: 60.0, 15: 30.0, 16: 0.0, 17: -30.0, 18: -60.0}
RAISED_ELEVATION = 40.0
AMBIENT, FROM_ABOVE, FLASH = 0.36, 0.18, 0.58


def direction(yaw: float, elevation: float) -> np.ndarray:
    """Unit vector [3] in rig axes (the subject's head space) towards a place at `yaw` and `elevation` degrees.

    The sign of yaw is the project's: a camera at yaw > 0 sees the subject's right cheek, so it stands at x < 0.
    """
    yaw, elevation = np.radians(yaw), np.radians(elevation)
    return np.array([-np.sin(yaw) * np.cos(elevation), np.sin(elevation), np.cos(yaw) * np.cos(elevation)])


def flash_direction(illumination: int) -> np.ndarray | None:
    """Direction [3] of a Multi-PIE flash in rig axes; None for the two numbers without flash."""
    if illumination in NO_FLASH:
        return None
    if illumination in FLASH_YAWS:
        return direction(FLASH_YAWS[illumination], 0.0)
    return direction(RAISED_YAWS[illumination], RAISED_ELEVATION)


def multipie_light(illumination: int) -> np.ndarray:
    """Light [9, 3] of Multi-PIE illumination 0..19 in rig axes: warm room light from above, and a white flash."""
    light = distant_light(np.array([0.0, 1.0, 0.25]), FROM_ABOVE * np.array([1.0, 0.97, 0.90])) + ambient_light(
        AMBIENT * np.array([1.0, 0.97, 0.92])
    )
    flash = flash_direction(illumination)
    return light if flash is None else light + distant_light(flash, FLASH * np.ones(3))


def ambient_light(colour: np.ndarray) -> np.ndarray:
    """Light [9, 3] that shades every normal with `colour` [3]."""
    return _fit(np.ones(len(_normals()[0])))[:, None] * colour


def distant_light(towards: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Light [9, 3] of a distant lamp of `colour` [3] in direction `towards` [3]: max(0, n.d), to second order."""
    towards = np.asarray(towards) / np.linalg.norm(towards)
    return _fit(np.maximum(_normals()[0] @ towards, 0))[:, None] * colour


def rotate_light(light: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """The light [9, 3] seen from axes turned by `rotation` [3, 3]: shades R n as `light` shades n."""
    normals, _ = _normals()
    basis = sh_basis(torch.from_numpy(normals @ rotation)).numpy()  # row i: R^T n_i
    return _fit(basis @ light)


def random_light(rng: np.random.Generator) -> np.ndarray:
    """Light [9, 3] in camera axes: tinted ambient light and one to three lamps, anywhere but straight behind."""
    tint = 1 + 0.08 * rng.standard_normal(3)
    light = ambient_light(rng.uniform(0.25, 0.7) * tint)
    for _ in range(rng.integers(1, 4)):
        towards = direction(rng.uniform(-110, 110), rng.uniform(-25, 75))
        light = light + distant_light(towards, rng.uniform(0.1, 0.6) * (1 + 0.08 * rng.standard_normal(3)))
    return light


def _fit(values: np.ndarray) -> np.ndarray:
    """Least-squares coefficients [9, ...] of `values` [M, ...] given at the sphere's sample normals."""
    return _normals()[1] @ values


@functools.cache
def _normals() -> tuple[np.ndarray, np.ndarray]:
    """Sample normals over the sphere [M, 3], and the matrix [9, M] that fits coefficients to values at them."""
    count = 600
    index = np.arange(count) + 0.5
    height, turn = 1 - 2 * index / count, index * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - height**2)
    normals = np.stack([radius * np.cos(turn), height, radius * np.sin(turn)], -1)
    basis = sh_basis(torch.from_numpy(normals)).numpy()
    return normals, np.linalg.solve(basis.T @ basis, basis.T)
