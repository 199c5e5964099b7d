"""FLAME's two texture files become RGB textures in 0..1."""

import numpy as np
import pytest
import torch

from mfnet.errors import InputError
from mfnet.flame import load_texture_space

SIDE, STORED = 24, 9


def deca(mean: np.ndarray, basis: np.ndarray, white: float, code: np.ndarray) -> np.ndarray:
    """DECA's FLAMETex, step by step: [3, S, S]."""
    texture = mean.reshape(1, -1) / white + (basis.reshape(-1, STORED)[None] / white * code[None, None]).sum(-1)
    return texture.reshape(SIDE, SIDE, 3).transpose(2, 0, 1)[[2, 1, 0]]


@pytest.mark.parametrize("kind", ["FLAME", "BFM", "BFM flat"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_decas(tmp_path, kind, dtype):
    rng = np.random.default_rng(0)
    white = 255.0 if kind == "FLAME" else 1.0
    mean = (white * rng.random((SIDE, SIDE, 3))).astype(dtype)
    basis = (white * rng.standard_normal((SIDE, SIDE, 3, STORED))).astype(dtype)
    arrays = {"mean": mean, "tex_dir": basis, "vt": np.zeros((4, 2)), "ft": np.zeros((2, 3), int)}
    if kind != "FLAME":
        flat = kind == "BFM flat"
        arrays = {"MU": mean.reshape(1, -1) if flat else mean, "PC": basis.reshape(-1, STORED) if flat else basis}
    np.savez(tmp_path / "texture.npz", **arrays)
    space = load_texture_space(tmp_path / "texture.npz", n=5)
    code = rng.standard_normal((3, 5))
    textures = space(torch.tensor(code, dtype=torch.float32))
    assert textures.shape == (3, 3, SIDE, SIDE)
    for texture, row in zip(textures, code, strict=True):
        expected = deca(mean, basis, white, np.concatenate([row, np.zeros(STORED - 5)]))
        np.testing.assert_allclose(texture.numpy(), expected, atol=2e-5)
    small = load_texture_space(tmp_path / "texture.npz", n=5, size=8)(torch.tensor(code, dtype=torch.float32))
    np.testing.assert_allclose(small.numpy(), torch.nn.functional.avg_pool2d(textures, 3).numpy(), atol=2e-5)


def test_red_is_red(tmp_path):
    mean = np.zeros((4, 4, 3), np.float32)
    mean[0, :, 2] = 255  # BGR: a red row at the top
    np.savez(tmp_path / "t.npz", mean=mean, tex_dir=np.zeros((4, 4, 3, 2), np.float32))
    texture = load_texture_space(tmp_path / "t.npz", n=1)(torch.zeros(1, 1))[0]
    assert texture[0, 0].tolist() == [1] * 4 and texture.sum() == 4


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mean": np.zeros((4, 4, 3))}, "holds neither"),
        ({"mean": np.zeros((4, 5, 3)), "tex_dir": np.zeros((4, 5, 3, 9))}, "'mean' is no square"),
        ({"mean": np.zeros((4, 4, 3)), "tex_dir": np.zeros((4, 4, 4, 9))}, "'tex_dir' does not hold"),
        ({"mean": np.zeros((4, 4, 3)), "tex_dir": np.zeros((9, 4, 4, 3))}, "'tex_dir' does not hold"),
        ({"mean": np.zeros((4, 4, 3)), "tex_dir": np.zeros((4, 4, 3, 2))}, "5 texture coefficients are wanted"),
        ({"mean": np.full((4, 4, 3), np.nan), "tex_dir": np.zeros((4, 4, 3, 9))}, "'mean' is not made of finite"),
        ({"mean": np.zeros((4, 4, 3)), "tex_dir": np.full((4, 4, 3, 9), np.inf)}, "'tex_dir' is not made of finite"),
        ({"mean": np.zeros((4, 4, 3)), "tex_dir": np.array([None])}, "objects"),
    ],
)
def test_bad_files(tmp_path, arrays, message):
    np.savez(tmp_path / "texture.npz", **arrays)
    with pytest.raises(InputError, match=message):
        load_texture_space(tmp_path / "texture.npz", n=5)


def test_sizes_out_of_reach(tmp_path):
    np.savez(tmp_path / "t.npz", mean=np.zeros((4, 4, 3)), tex_dir=np.zeros((4, 4, 3, 2)))
    with pytest.raises(InputError, match="enlarged"):
        load_texture_space(tmp_path / "t.npz", n=1, size=8)
    with pytest.raises(InputError, match="no such file"):
        load_texture_space(tmp_path / "absent.npz")
