"""Noise over space, and soft steps: what skins and hair are painted with."""

import numpy as np
import torch


class SolidNoise:
    """Noise of unit variance over space: a random periodic lattice, interpolated, turned anew for each use."""

    SIDE = 48

    def __init__(self, rng: np.random.Generator, position: np.ndarray) -> None:
        self.rng, self.position = rng, torch.from_numpy(position)
        lattice = np.pad(rng.standard_normal((self.SIDE,) * 3, dtype=np.float32), ((0, 1),) * 3, mode="wrap")
        self.lattice = torch.from_numpy(lattice)[None, None]

    def __call__(self, wavelength: float, stretch: tuple[float, float, float] = (1, 1, 1)) -> np.ndarray:
        """[H, W] noise with features of about `wavelength` mm, longer by 1/stretch along x, y and z."""
        turn = _random_rotation(self.rng) if stretch == (1, 1, 1) else np.diag(stretch)
        return self._at(self.position @ torch.from_numpy((turn.T / wavelength).astype(np.float32)))

    def along(self, across: np.ndarray, strand: np.ndarray, width: float, length: float) -> np.ndarray:
        """[H, W] noise of strands about `width` by `length` mm; across [H, W, 2], strand [H, W]: mm over and along."""
        place = np.concatenate([across / width, strand[..., None] / length], -1)
        return self._at(torch.from_numpy(place.astype(np.float32)))

    def _at(self, place: torch.Tensor) -> np.ndarray:
        """[H, W] at `place` [H, W, 3] in cells of the lattice, shifted anew for each use."""
        place = place + torch.from_numpy(self.rng.uniform(0, self.SIDE, 3).astype(np.float32))
        place = torch.remainder(place, self.SIDE) * (2 / self.SIDE) - 1
        values = torch.nn.functional.grid_sample(self.lattice, place[None, None], align_corners=True)
        return values[0, 0, 0].numpy() / 0.54  # the deviation that linear interpolation leaves of white noise in 3-D


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A random rotation [3, 3] from a random unit quaternion."""
    quaternion = rng.standard_normal(4)
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def step(value: np.ndarray, softness: float) -> np.ndarray:
    """0 below zero, 1 above, over about `softness` either way."""
    return np.clip(0.5 + value / (2 * softness), 0, 1)
