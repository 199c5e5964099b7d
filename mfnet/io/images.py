"""Images: photographs in, PNG out, and the two conversions between bytes and numbers in 0..1.

Images are RGB, uint8 [H, W, 3]. This is the one reader of photographs. Multi-PIE's, in `mfnet.datasets.multipie`,
stands on it: PNG alone, every chunk's checksum held against its data, and the reason for a rejection is a row of an
artifact.
"""

import io
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
from PIL import ExifTags, Image
from PIL import TiffImagePlugin as TiffTags

from mfnet.errors import InputError
from mfnet.io.files import atomic_path, read_bytes

if TYPE_CHECKING:  # the scorer reads images without torch
    from torch import Tensor

FAST_PNG = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
)
"""A third of the time of OpenCV's default and a tenth less space on photographs before an even wall."""

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
"""What photographs are read from, as Pillow spells it."""
MAX_PIXELS = 100_000_000
_MAX_BYTES = 1 << 29
_ALWAYS_ALLOWED = 1 << 24  # pixels
_MAX_PIXELS_PER_BYTE = 100  # an even wall as JPEG has about 50
MAX_SCANS = 100  # progressive JPEGs of cameras have about ten; each goes over all pixels
JPEG_SCAN = b"\xff\xda"
_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "I;16", "I;16B", "I;16L"}
_SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "TIFF": re.compile(rb"II\*\0|MM\0\*"),
}
_FOREIGN = {
    "HEIC": re.compile(rb"....ftyp(?:hei|hev|mif1|msf1)", re.DOTALL),
    "AVIF": re.compile(rb"....ftypavi", re.DOTALL),
    "GIF": re.compile(rb"GIF8"),
    "BMP": re.compile(rb"BM"),
    "EPS": re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"),
    "PDF": re.compile(rb"\s*%PDF"),
    "PSD": re.compile(rb"8BPS"),
    "JPEG 2000": re.compile(rb"\0\0\0\x0cjP|\xff\x4f\xff\x51"),
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
    "ICO": re.compile(rb"\0\0[\x01\x02]\0"),
    "FITS": re.compile(rb"SIMPLE  ="),
    "PCX": re.compile(rb"\x0a[\x00-\x05]\x01"),
    "PPM": re.compile(rb"P[1-7]\s"),
    "big TIFF": re.compile(rb"II\+\0|MM\0\+"),
    "ZIP": re.compile(rb"PK\x03\x04"),
    "HTML or XML": re.compile(rb"\s*<"),
}
"""Other formats, to refuse them by name."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the picture upright."""

Pixels = TypeVar("Pixels", np.ndarray, "Tensor")


class NoPhoto(ValueError):
    """Data that is no photograph of ours; the message says why."""


def read_photo(path: str | Path) -> np.ndarray:
    """A photograph as RGB uint8 [H, W, 3] (see `decode_photo`).

    Raises InputError, which names the file, for one that is missing, no photograph, damaged or too large.
    """
    try:
        return decode_photo(read_bytes(path, _MAX_BYTES))
    except NoPhoto as error:
        raise InputError(f"{path}: {error}") from None


def decode_photo(data: bytes, formats: tuple[str, ...] = FORMATS) -> np.ndarray:
    """A photograph's bytes as RGB uint8 [H, W, 3], upright: an EXIF orientation is applied.

    The format is told by the content, never by a name. 16 bits become 8 (the upper ones), grey three equal channels;
    what is transparent is black. Size is known from the header before anything is decoded, and bounded by MAX_PIXELS
    and by what so many bytes can honestly hold.

    Raises NoPhoto, which says what the data is instead or what is wrong with it.
    """
    try:
        with _opened(data, formats) as image:
            return _upright_rgb(image)
    except (NoPhoto, MemoryError):
        raise
    except Exception as error:  # Pillow's parsers raise whatever a broken file makes them trip over
        raise NoPhoto(f"not a readable image: {' '.join(str(error).split())[:200]}") from None


def check_photo(data: bytes, formats: tuple[str, ...] = FORMATS, most: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width by the header; nothing is decoded.

    Raises NoPhoto unless it is that of a photograph with at most `most` pixels.
    """
    try:
        with _opened(data, formats) as image:
            if image.width * image.height > most:
                raise NoPhoto(f"{image.width} x {image.height} px; at most {most} pixels are read")
            return image.height, image.width
    except NoPhoto:
        raise
    except Exception as error:
        raise NoPhoto(f"not a readable image: {' '.join(str(error).split())[:200]}") from None


def _opened(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    """The image with its header read and its pixels not; NoPhoto for what must not be decoded."""
    kind = next((kind for kind, signature in _SIGNATURES.items() if signature.match(data)), None)
    if kind not in formats:
        raise NoPhoto(f"not a readable image: {_said(kind, data)}; give {_listed(formats)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large ones, where our own limit comes next, and of damaged EXIF data
        try:
            image = Image.open(io.BytesIO(data), formats=(kind,))
        except Image.DecompressionBombError:
            raise NoPhoto(f"not a readable image: more than {MAX_PIXELS} px; too large to read") from None
    pixels = image.width * image.height
    if pixels > min(MAX_PIXELS, max(_ALWAYS_ALLOWED, _MAX_PIXELS_PER_BYTE * len(data))):
        raise NoPhoto(
            f"not a readable image: {image.width} x {image.height} px in {len(data)} bytes; too large to read"
        )
    if image.mode not in _MODES:
        raise NoPhoto(f"not a readable image: pixels of kind {image.mode}; save it with 8 or 16 bits a channel")
    if kind == "JPEG" and data.count(JPEG_SCAN) > MAX_SCANS:
        raise NoPhoto(f"not a readable image: more than {MAX_SCANS} scans, which no camera writes")
    if kind == "TIFF":
        _check_tiles(image)
    return image


def _check_tiles(image: Image.Image) -> None:
    """A tile is decoded whole, however small the image is."""
    tags = image.tag_v2  # pyright: ignore[reportAttributeAccessIssue]  # of Pillow's TIFF class
    width, height = tags.get(TiffTags.TILEWIDTH, 1), tags.get(TiffTags.TILELENGTH, 1)
    if not (isinstance(width, int) and isinstance(height, int) and 0 < width * height <= _ALWAYS_ALLOWED):
        raise NoPhoto("not a readable image: a TIFF with tiles of impossible size")


def _upright_rgb(image: Image.Image) -> np.ndarray:
    turn = _TURNS.get(_orientation(image))
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        rgb = Image.new("RGB", image.size)
        rgb.paste(image, mask=image.getchannel("A"))
        image = rgb
    image = image.convert("RGB")
    return np.asarray(image if turn is None else image.transpose(turn))


def _orientation(image: Image.Image) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF data beside whole pixels
        return 1


def _said(kind: str | None, data: bytes) -> str:
    """What the data is, for a person."""
    if not data:
        return "an empty file"
    if kind is None:
        kind = next((name for name, signature in _FOREIGN.items() if signature.match(data)), None)
    if kind is None:
        return "an unknown format"
    return f"a {kind} file" + (
        " (export it as JPEG; iPhones do under Settings, Camera, Formats)" if kind == "HEIC" else ""
    )


def _listed(formats: tuple[str, ...]) -> str:
    return " or ".join([", ".join(formats[:-1]), formats[-1]] if len(formats) > 1 else formats)


def encode_png(image: np.ndarray, fast: bool = False) -> bytes:
    """RGB uint8 [H, W, 3] as PNG; equal images give equal bytes. fast: in a third of the time (`FAST_PNG`)."""
    if fast:
        return cv2.imencode(".png", image[..., ::-1], FAST_PNG)[1].tobytes()
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def write_png(image: np.ndarray, path: str | Path, fast: bool = False) -> None:
    """Write RGB uint8 [H, W, 3] as PNG (`encode_png`), atomically."""
    with atomic_path(path) as beside:
        beside.write_bytes(encode_png(image, fast))


def to_float(images: "Tensor") -> "Tensor":
    """uint8 0..255 -> float32 0..1."""
    return images.float() / 255


def to_uint8(images: Pixels) -> Pixels:
    """Floats 0..1 -> uint8 0..255, halves up; what lies outside 0..1 is clipped. An array or a tensor."""
    if isinstance(images, np.ndarray):
        return (np.clip(images, 0, 1) * 255 + 0.5).astype(np.uint8)
    return (images.clamp(0, 1) * 255 + 0.5).byte()
