"""Photographs, PNG and conversions, held against the libraries behind them."""

import io
import struct
import subprocess
import sys
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mfnet.errors import InputError
from mfnet.io.images import (
    NoPhoto,
    check_photo,
    decode_photo,
    encode_png,
    read_photo,
    to_float,
    to_uint8,
    write_png,
)


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


def stored(image, form, **settings) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "LA", "1", "I;16"])
def test_every_format_is_told_by_its_content_and_never_by_its_name(tmp_path, form, mode):
    if (form, mode) == ("WEBP", "I;16"):
        pytest.skip("Pillow clips instead of scaling when it writes it")
    grey = np.full((31, 17), 90, np.uint8)
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    try:
        content = stored(image, form)
    except (OSError, KeyError):
        pytest.skip(f"Pillow writes no {form} of {mode}")
    (tmp_path / "a.gif").write_bytes(content)
    pixels = read_photo(tmp_path / "a.gif")
    assert pixels.shape == (31, 17, 3) and pixels.dtype == np.uint8
    if mode != "1":
        assert np.abs(pixels.astype(int) - 90).max() <= 4


def test_our_own_pictures_are_read_as_both_libraries_read_them():
    for content in (
        encode_png(picture()),
        encode_png(picture(), fast=True),
        stored(Image.fromarray(picture()), "JPEG"),
    ):
        pixels = decode_photo(content)
        assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_stands_upright_whatever_its_exif_orientation(orientation):
    """The tag names the side of the stored picture that is up: the same person comes out of all eight."""
    upright = Image.fromarray(picture())
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that store it so
    turned = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode_photo(stored(turned, "PNG", exif=exif)), picture())


def test_damaged_exif_data_costs_no_photograph():
    content = stored(Image.fromarray(picture()), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode_photo(content).shape == (31, 17, 3)


def test_what_is_transparent_is_black():
    pixels = np.dstack([picture(), np.full((31, 17), 255, np.uint8)])
    pixels[:10, :, 3] = 0
    found = decode_photo(stored(Image.fromarray(pixels), "PNG"))
    assert found[:10].max() == 0 and np.array_equal(found[10:], picture()[10:])


FOREIGN = {
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "PSD": b"8BPS\0\1" + bytes(30),
    "GIF": stored(Image.fromarray(picture()), "GIF"),
    "BMP": stored(Image.fromarray(picture()), "BMP"),
    "ICO": stored(Image.fromarray(picture()), "ICO"),
    "PCX": stored(Image.fromarray(picture()), "PCX"),
    "PPM": stored(Image.fromarray(picture()), "PPM"),
    "PDF": b"%PDF-1.4\n",
    "HEIC": b"\0\0\0\x18ftypheic" + bytes(30),
    "AVIF": b"\0\0\0\x18ftypavif" + bytes(30),
    "FITS": b"SIMPLE  =                    T",
    "HTML": b"<!DOCTYPE html>",
    "unknown format": b"text",
    "empty": b"",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_formats_are_refused_by_name(tmp_path, name):
    (tmp_path / "a.jpg").write_bytes(FOREIGN[name])
    with pytest.raises(
        InputError, match=rf"a\.jpg: not a readable image: an? .*{name}.*; give JPEG, PNG, WEBP or TIFF"
    ):
        read_photo(tmp_path / "a.jpg")


def test_heic_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "a.heic").write_bytes(FOREIGN["HEIC"])
    with pytest.raises(InputError, match="export it as JPEG"):
        read_photo(tmp_path / "a.heic")


def flat_png(width: int, height: int) -> bytes:
    """A picture of zeros: about a thousandth of its size on disk."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    line = bytes(width // 8 + 1)
    data = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_000, 20_000])
def test_a_bomb_is_refused_by_its_header(side):
    tracemalloc.start()
    with pytest.raises(NoPhoto, match=f"{side} x {side} px|more than 100000000 px"):
        decode_photo(flat_png(side, side))
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()


def test_the_limit_holds_where_nothing_is_decoded_either():
    with pytest.raises(NoPhoto, match="at most 100 pixels"):
        check_photo(encode_png(picture()), most=100)
    check_photo(encode_png(picture()), most=31 * 17)


def test_a_jpeg_of_many_scans_is_refused():
    """Each scan goes over all pixels: a megabyte of empty ones takes minutes."""
    content = stored(Image.fromarray(picture()), "JPEG", progressive=True)
    scan = content.rindex(b"\xff\xda")
    with pytest.raises(NoPhoto, match="scans"):
        decode_photo(content[:-2] + content[scan:-2] * 200 + content[-2:])


@pytest.mark.parametrize("content", [None, b"\x89PNG\r\n\x1a\n", "half"])
def test_what_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes({"half": encode_png(picture())[:600]}.get(content, content))
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
