"""Multi-PIE: its cameras, expressions and file names, and the scan that turns a directory into a manifest.

The scan looks at every file's name and at the two ends of the PNG: signature, header (IHDR, its checksum and size) and
the closing IEND chunk. That finds foreign, truncated and half-copied files at the price of two small reads, where
decoding the archive's 755,000 images would take hours; damage inside the pixel data is found by the landmark stage,
which decodes what the plan names. The same reads give each image's checksum: the eight bytes before IEND end the last
data chunk, the Adler-32 of all pixels and the CRC-32 of that chunk. So a manifest differs wherever an image does.
"""

import io
import os
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mfnet.compute.executor import SERIAL, Compute
from mfnet.errors import InputError
from mfnet.io.files import MissingFile, read_bytes
from mfnet.io.images import check_photo, decode_photo

FRONTAL = "05_1"
"""The camera of the anchor view."""

YAW = {
    "24_0": 90.0,
    "01_0": 75.0,
    "20_0": 60.0,
    "19_0": 45.0,
    "04_1": 30.0,
    "05_0": 15.0,
    "05_1": 0.0,
    "14_0": -15.0,
    "13_0": -30.0,
    "08_0": -45.0,
    "09_0": -60.0,
    "12_0": -75.0,
    "11_0": -90.0,
}
"""Head-height cameras and their nominal yaw, degrees: > 0 stands on the subject's right."""

CEILING = {"19_1": 45.0, "08_1": -45.0}
"""The two cameras above 19_0 and 08_0; scanned, but in no triplet."""

EXPRESSIONS = {
    (1, 1): "neutral",
    (2, 1): "neutral",
    (3, 1): "neutral",
    (4, 1): "neutral",
    (4, 2): "neutral",
    (1, 2): "smile",
    (3, 2): "smile",
    (2, 2): "surprise",
    (2, 3): "squint",
    (3, 3): "disgust",
    (4, 3): "scream",
}
"""(session, recording) -> what the subject was asked to show."""

ILLUMINATIONS = range(20)
"""Flash numbers; 00 and 19 are without flash."""

WIDTH, HEIGHT = 640, 480
"""Size of every multi-view image, pixels."""
_MAX_BYTES = 16 << 20

OTHER_PARTS = ("highres", "meta", "movie")
"""Folders of the same archive that hold no multi-view image: left aside, not rejected."""

ANNOTATIONS = (".npy", ".npz", ".pts", ".txt")
"""Endings of landmark files that may lie beside an image, with its name: left aside, not rejected."""

EXAMPLE = "session01/multiview/001/01/05_1/001_01_01_051_00.png"

_NAME = re.compile(r"(\d{3})_(\d{2})_(\d{2})_(\d{2})(\d)_(\d{2})\.png")
_DEPTH = EXAMPLE.count("/")
_PNG_HEAD = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"
_PNG_TAIL = b"\x00\x00\x00\x00IEND\xaeB\x60\x82"
_CHUNK = 20_000  # files per unit of work: seconds of it, and a small archive needs no cluster


class RejectedImage(Exception):
    """An image, or a triplet for its sake, is left out; the message is the reason that the rejected table shows."""


def image_path(subject: str, session: int, recording: int, camera: str, illumination: int) -> str:
    """Path of an image relative to the archive's root: ``sessionSS/multiview/NNN/RR/CC_L/NNN_SS_RR_CCL_II.png``."""
    name = f"{subject}_{session:02d}_{recording:02d}_{camera.replace('_', '')}_{illumination:02d}.png"
    return f"session{session:02d}/multiview/{subject}/{recording:02d}/{camera}/{name}"


def scan(root: str | Path, compute: Compute = SERIAL) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the images of an archive: (manifest, rejected), both ordered by path.

    manifest: path, subject ("001"), session, recording, camera ("05_1"), illumination, checksum (16 hex digits),
    expression, yaw (nominal, degrees), width, height. rejected: path, reason. Paths are relative to `root`, with
    ``/``; `root` holds ``session01`` ..., or ``data/session01`` ...

    Raises InputError where `root` is missing or holds no image that passes.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"source.multipie: {root}: no such folder; name the one that holds session01 ...")
    paths = sorted(_files(root))
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    rows, rejected = [], []
    for good, bad in compute.map(partial(_check_files, str(root)), chunks, "scan"):
        rows += good
        rejected += bad
    if not rows:
        reasons = Counter(reason for _, reason in rejected).most_common(3)
        found = ", ".join(f"{count} x {reason}" for reason, count in reasons) or "it is empty"
        raise InputError(f"source.multipie: {root}: no Multi-PIE image such as {EXAMPLE} in it ({found})")
    return _manifest(rows), pd.DataFrame(rejected, columns=["path", "reason"], dtype="str")


def _files(root: Path) -> Iterator[str]:
    """Every file (and every folder deeper than images lie) below `root`, as a path relative to it, in no order."""
    top = "data" if not any(root.glob("session[0-9][0-9]")) and (root / "data").is_dir() else ""
    folders = [("", 0)]
    while folders:
        folder, depth = folders.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if not entry.is_dir():
                    yield path
                elif path == top:
                    folders.append((path, 0))
                elif depth < _DEPTH and entry.name not in OTHER_PARTS:
                    folders.append((path, depth + 1))
                elif depth >= _DEPTH:
                    yield path


def _check_files(root: str, paths: list[str]) -> tuple[list[tuple], list[tuple[str, str]]]:
    """Manifest rows (path ... checksum) of the good files, (path, reason) of the others."""
    rows, rejected = [], []
    for path in paths:
        stem, ending = os.path.splitext(path)
        if ending in ANNOTATIONS and _NAME.fullmatch(f"{os.path.basename(stem)}.png"):
            continue
        try:
            rows.append((path, *parse_path(path), png_checksum(os.path.join(root, path))))
        except RejectedImage as error:
            rejected.append((path, str(error)))
    return rows, rejected


def parse_path(path: str) -> tuple[str, int, int, str, int]:
    """(subject, session, recording, camera, illumination) of a path relative to the root; raises RejectedImage."""
    folders = path.removeprefix("data/").split("/")
    name = folders.pop()
    if not name.endswith(".png") or len(folders) != _DEPTH:
        raise RejectedImage("stray file")
    match = _NAME.fullmatch(name)
    if match is None:
        raise RejectedImage("bad name")
    subject, session, recording, number, level, illumination = match.groups()
    camera = f"{number}_{level}"
    if folders != [f"session{session}", "multiview", subject, recording, camera]:
        raise RejectedImage("name and folder differ")
    if camera not in YAW and camera not in CEILING:
        raise RejectedImage(f"unknown camera: {camera}")
    if (int(session), int(recording)) not in EXPRESSIONS:
        raise RejectedImage(f"unknown recording: {recording} of session {session}")
    if int(illumination) not in ILLUMINATIONS:
        raise RejectedImage(f"unknown illumination: {illumination}")
    return subject, int(session), int(recording), camera, int(illumination)


def png_checksum(path: str) -> str:
    """Checksum (16 hex digits) at the end of a PNG; raises RejectedImage unless it is 640 x 480, RGB and complete."""
    try:
        with open(path, "rb", buffering=0) as file:
            head = file.read(33)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 20, 0))
            tail = file.read()
    except OSError as error:
        raise RejectedImage(f"unreadable: {error.strerror}") from None
    if size == 0:
        raise RejectedImage("empty file")
    if not head.startswith(_PNG_HEAD) or len(head) < 33:
        raise RejectedImage("not a PNG")
    width, height, depth, colour = struct.unpack(">IIBB", head[16:26])
    if zlib.crc32(head[12:29]) != int.from_bytes(head[29:33], "big"):
        raise RejectedImage("broken PNG: damaged header")
    if (width, height) != (WIDTH, HEIGHT):
        raise RejectedImage(f"wrong size: {width}x{height}")
    if (depth, colour) != (8, 2):
        raise RejectedImage(f"not 8-bit RGB: depth {depth}, colour type {colour}")
    if not tail.endswith(_PNG_TAIL):
        raise RejectedImage("broken PNG: truncated")
    return tail[:8].hex()


def read_image(path: str | Path) -> np.ndarray:
    """Decode a PNG to [H, W, 3] uint8 RGB; raises RejectedImage where it is missing or its data is damaged anywhere."""
    try:
        data = read_bytes(path, _MAX_BYTES)
    except MissingFile:
        raise RejectedImage("unreadable: No such file or directory") from None  # as the scan says it
    except InputError as error:
        raise RejectedImage(f"unreadable: {str(error).removeprefix(f'{path}: ')}") from None
    try:
        check_photo(data, ("PNG",))
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.verify()  # every chunk's checksum; decoding alone overlooks some damage
        return decode_photo(data, ("PNG",))
    except Exception as error:  # Pillow raises whatever a broken file makes it trip over
        raise RejectedImage(
            f"broken PNG: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from None


def _manifest(rows: list[tuple]) -> pd.DataFrame:
    table = pd.DataFrame(
        rows, columns=["path", "subject", "session", "recording", "camera", "illumination", "checksum"]
    )
    recordings = pd.MultiIndex.from_frame(table.loc[:, ["session", "recording"]])
    table["expression"] = pd.Series(EXPRESSIONS).reindex(recordings).to_numpy()
    table["yaw"] = table.loc[:, "camera"].map(YAW | CEILING)
    table["width"] = WIDTH
    table["height"] = HEIGHT
    return table
