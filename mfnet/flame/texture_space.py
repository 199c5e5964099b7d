"""FLAME's texture spaces: a mean texture and principal directions, from the files that DECA reads too."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mfnet.errors import InputError, fail
from mfnet.io.npz import npz_shapes, read_npz, read_npz_columns

_KEYS = {("mean", "tex_dir"): 255.0, ("MU", "PC"): 1.0}
"""Names of mean and directions, and the value of white: FLAME_texture.npz, FLAME_albedo_from_BFM.npz."""
_MAX_SIDE = 1024
_MAX_BYTES = 1 << 30


class TextureSpace(nn.Module):
    """texture(code) = mean + sum_i code_i direction_i: RGB, 0..1 is black to white, row 0 at v = 1, not clamped."""

    mean: Tensor  # [3, S, S]
    directions: Tensor  # [N, 3 S S]

    def __init__(self, mean: Tensor, directions: Tensor) -> None:
        """mean: [3, S, S]; directions: [N, 3, S, S], one per coefficient (in sigma units)."""
        super().__init__()
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("directions", directions.flatten(1), persistent=False)

    def forward(self, code: Tensor) -> Tensor:
        """Textures [B, 3, S, S] of codes [B, N]."""
        return torch.addmm(self.mean.flatten(), code, self.directions).unflatten(1, self.mean.shape)


def load_texture_space(path: str | Path, n: int = 50, size: int | None = None) -> TextureSpace:
    """The first `n` directions of FLAME_texture.npz or FLAME_albedo_from_BFM.npz.

    The first holds `mean` and `tex_dir` in 0..255, the second `MU` and `PC` in 0..1; both store BGR, rows of texels
    from the top, and here they become RGB. size: side to shrink to, by averaging. Only the directions in use take
    memory. Raises InputError naming the file and the field.
    """
    shapes = npz_shapes(path)
    found = [(keys, white) for keys, white in _KEYS.items() if set(keys) <= set(shapes)]
    if not found:
        raise InputError(
            f"{path}: holds neither 'mean' and 'tex_dir' nor 'MU' and 'PC'; is it a texture space of FLAME?"
        )
    (mean_name, basis_name), white = found[0]
    texels = math.prod(shapes[mean_name])
    side = math.isqrt(texels // 3)
    if not 1 <= side <= _MAX_SIDE or 3 * side * side != texels:
        fail(path, mean_name, f"is no square texture of three colours with at most {_MAX_SIDE} texels a side")
    stored, rest = divmod(math.prod(shapes[basis_name]), texels)
    if rest or shapes[basis_name][-1:] != (stored,):
        fail(path, basis_name, f"does not hold directions for {texels} values in its last axis")
    if not 1 <= n <= stored:
        raise InputError(f"{path}: {n} texture coefficients are wanted, but '{basis_name}' has {stored}")
    mean = read_npz(path, _MAX_BYTES, {mean_name})[mean_name].reshape(texels, 1)
    basis = read_npz_columns(path, basis_name, n, _MAX_BYTES)  # [3 S S, n]
    mean, basis = (_images(part, side, white, path, name) for part, name in ((mean, mean_name), (basis, basis_name)))
    if size is not None and size != side:
        if not 1 <= size < side:
            raise InputError(f"{path}: textures of {side} texels can be shrunk, not enlarged to {size}")
        mean, basis = (nn.functional.interpolate(part, (size, size), mode="area") for part in (mean, basis))
    return TextureSpace(mean[0], basis)


def _images(columns: np.ndarray, side: int, white: float, path: str | Path, name: str) -> Tensor:
    """Columns [3 S S, N] of rows of BGR texels -> [N, 3, S, S] RGB with 1 as white."""
    if columns.dtype.kind != "f" or not np.isfinite(columns).all():
        fail(path, name, "is not made of finite floating numbers")
    images = torch.from_numpy(columns.astype(np.float32)).T.unflatten(1, (side, side, 3))
    return images.flip(-1).permute(0, 3, 1, 2).contiguous() / white
