"""Photographs, PNG and conversions, held against the libraries behind them."""

import io
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mfnet.errors import InputError
from mfnet.io.images import encode_png, read_photo, to_float, to_uint8, write_png


def picture(height=31, width=17):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("fast", [False, True])
def test_png_is_read_back_by_both_libraries(tmp_path, fast):
    write_png(picture(), tmp_path / "a.png", fast)
    assert np.array_equal(read_photo(tmp_path / "a.png"), picture())
    assert np.array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], picture())
    assert (tmp_path / "a.png").read_bytes() == encode_png(picture(), fast)


def test_bytes_are_those_of_the_libraries_own_defaults():
    """Artifacts are PNG: another encoder or level would change every MD5."""
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, format="PNG")
    assert encode_png(picture()) == buffer.getvalue()
    assert encode_png(picture(), fast=True) != buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_every_kind_of_image_becomes_rgb(tmp_path, mode):
    Image.fromarray(picture()).convert(mode).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png").shape == (31, 17, 3)


def test_an_exif_orientation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture()).save(tmp_path / "a.jpg", exif=exif)
    assert read_photo(tmp_path / "a.jpg").shape == (31, 17, 3)


@pytest.mark.parametrize("content", [None, b"", b"text", b"\x89PNG\r\n\x1a\n", "half", "bomb"])
def test_what_is_no_image_is_named(tmp_path, monkeypatch, content):
    path = tmp_path / "a.png"
    if content == "bomb":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    if content is not None:
        whole = encode_png(picture())
        path.write_bytes({"half": whole[:600], "bomb": whole}.get(content, content))
    with pytest.raises(InputError, match=r"a\.png: (no such file|not a readable image)"):
        read_photo(path)


def test_bytes_survive_the_way_to_floats_and_back():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(levels)), levels)
    assert np.array_equal(to_uint8(to_float(levels).numpy()), levels.numpy())


def test_rounding_is_half_up_and_clipped_for_arrays_and_tensors():
    values = np.array([-1.0, -1e-9, 0.0, 0.5 / 255, 0.49 / 255, 1.0, 1.0 + 1e-6, 7.0], np.float32)
    expected = [0, 0, 0, 1, 0, 255, 255, 255]
    assert to_uint8(values).tolist() == expected == to_uint8(torch.from_numpy(values)).tolist()


def test_reading_needs_no_torch():
    code = "import sys, mfnet.io.images; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
