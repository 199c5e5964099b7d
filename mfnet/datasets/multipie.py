"""Multi-PIE: its cameras, expressions and file names, and the scan that turns a directory into a manifest.

The scan looks at every file's name and at the two ends of the PNG: signature, header (IHDR, its checksum and size) and
the closing IEND chunk. That finds foreign, truncated and half-copied files at the price of two small reads, where
decoding the archive's 755,000 images would take hours; damage inside the pixel data is found by the landmark stage,
which decodes what the plan names. The same reads give each image's checksum: the eight bytes before IEND end the last
data chunk, the Adler-32 of all pixels and the CRC-32 of that chunk. So a manifest differs wherever an image does, and
two names with equal content are seen.

Nothing is left out unseen: what is no image of the archive is in the rejected table, but for what `is_aside` names.
"""

import io
import logging
import os
import re
import stat
import struct
import zlib
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mfnet.compute.executor import SERIAL, Compute
from mfnet.errors import InputError
from mfnet.io.files import MissingFile, read_bytes
from mfnet.io.images import check_photo, decode_photo
from mfnet.io.walk import walk

log = logging.getLogger(__name__)

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

SUBJECTS = range(1, 347)
"""Numbers of the subjects, nine of whom are absent."""

WIDTH, HEIGHT = 640, 480
"""Size of every multi-view image, pixels."""
_MAX_BYTES = 16 << 20

OTHER_PARTS = ("highres", "meta", "movie")
"""Folders of the same archive that hold no multi-view image: left aside, not rejected."""

ANNOTATIONS = (".npy", ".npz", ".pts", ".txt")
"""Endings of landmark files that may lie beside an image, with its name: left aside, not rejected."""

IMAGES = (".png", ".jpg", ".jpeg", ".jp2", ".bmp", ".gif", ".heic", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
"""Endings of images, in any case. An image that is not used counts as rejected, wherever it lies."""

EXAMPLE = "session01/multiview/001/01/05_1/001_01_01_051_00.png"

_NAME = re.compile(r"([0-9]{3})_([0-9]{2})_([0-9]{2})_([0-9]{2})([0-9])_([0-9]{2})\.png", re.IGNORECASE)
_SESSION = re.compile(r"session[0-9]{2}")
_LIKE_A_SESSION = re.compile(r"session[ _-]?[0-9]+", re.IGNORECASE)
_IDENTITY = ["subject", "session", "recording", "camera", "illumination"]
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

    Raises InputError where `root` is missing, vanishes meanwhile or holds no image that passes.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"source.multipie: {root}: no such folder; name the one that holds session01 ...")
    paths, rejected = _files(root)
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    rows, sizes = [], []
    for good, their_sizes, bad in compute.map(partial(_check_files, str(root)), chunks, "scan"):
        rows += good
        sizes += their_sizes
        rejected += bad
    if paths and (not root.is_dir() or not any(root.iterdir())):
        raise InputError(f"source.multipie: {root}: empty or gone while it was read; is its disk still mounted?")
    if not rows:
        raise InputError(
            f"source.multipie: {root}: no Multi-PIE image such as {EXAMPLE} in it ({_trouble(root, rejected)})"
        )
    manifest, doubtful = _without_copies(_manifest(rows), np.array(sizes))
    table = pd.DataFrame(sorted(rejected + doubtful), columns=["path", "reason"], dtype="str")
    if manifest.empty:
        raise InputError(f"source.multipie: {root}: every image is a copy of another ({': '.join(table.iloc[0])}, ...)")
    return manifest, table


def _files(root: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """(every path to look at, in order; (path, fault) of what cannot be looked at)."""
    paths, faults = [], []
    for found in walk(root, lambda folder: folder.rpartition("/")[2] not in OTHER_PARTS):
        if found.fault is not None:
            faults.append((found.path, found.fault))
        elif not is_aside(found.path) and (not found.is_folder or _below_images(found.path)):
            paths.append(found.path)
    closed = [path for path, fault in faults if fault.startswith("unreadable folder")]
    if closed:
        log.warning("%s: %d folders cannot be read, and what they hold is lost: %s", root, len(closed), closed[:3])
    return sorted(paths), faults


def is_aside(path: str) -> bool:
    """Whether a file belongs beside images and is neither used nor rejected: annotations, macOS's ``._`` twins."""
    name = path.rpartition("/")[2]
    stem, ending = os.path.splitext(name)
    return name.startswith("._") or (ending.lower() in ANNOTATIONS and _NAME.fullmatch(f"{stem}.png") is not None)


def _below_images(folder: str) -> bool:
    """Whether a folder lies where only images should."""
    return folder.removeprefix("data/").count("/") >= _DEPTH


def _check_files(root: str, paths: list[str]) -> tuple[list[tuple], list[int], list[tuple[str, str]]]:
    """Manifest rows (path ... checksum) and bytes of the good files, (path, reason) of the others."""
    rows, sizes, rejected = [], [], []
    for path in paths:
        try:
            fields = parse_path(path)
            checksum, size = png_checksum(os.path.join(root, path))
        except RejectedImage as error:
            rejected.append((path, str(error)))
        else:
            rows.append((path, *fields, checksum))
            sizes.append(size)
    return rows, sizes, rejected


def _without_copies(manifest: pd.DataFrame, sizes: np.ndarray) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """(the manifest without doubtful images, (path, reason) of those): two files of one image, two names of one file.

    Of two endings that differ in case the usual one is kept. Of equal content under the names of two images neither
    is: which name is wrong cannot be seen.
    """
    usual_first = manifest.loc[:, "path"].str.endswith(".png").sort_values(ascending=False, kind="stable").index
    ordered = manifest.loc[usual_first, _IDENTITY]
    second = ordered.duplicated().reindex(manifest.index)
    kept = manifest.loc[~second, [*_IDENTITY, "path"]]
    twins = manifest.loc[second].merge(kept, on=_IDENTITY, suffixes=("", "_kept"))
    pairs = zip(twins["path"], twins["path_kept"], strict=True)
    rejected = [(path, f"second file of the same image: {first}") for path, first in pairs]
    content = manifest.loc[~second, ["path", "checksum"]].assign(size=sizes[~second.to_numpy()])
    copies = content.loc[content.duplicated(["checksum", "size"], keep=False)]
    for _, group in copies.groupby(["checksum", "size"], sort=False)["path"]:
        names = list(group)
        rejected += [(name, f"same content as {names[0] if name != names[0] else names[1]}") for name in names]
    good = ~second & ~manifest.index.isin(copies.index)
    return manifest.loc[good].reset_index(drop=True), rejected


def _trouble(root: Path, rejected: list[tuple[str, str]]) -> str:
    """What is wrong with a root in which no image was found, as far as can be seen."""
    place = root.absolute()
    for folder in (place, *place.parents[:4]):
        if _SESSION.fullmatch(folder.name):
            return f"it lies inside {folder.name}: name {folder.parent}"
    for pattern in ("*", "*/*", "*/*/*"):
        inner = next(
            (path for path in sorted(root.glob(pattern)) if _SESSION.fullmatch(path.name) and path.is_dir()), None
        )
        if inner is not None and inner.parent not in (root, root / "data"):
            return f"the sessions are farther below: name {inner.parent}"
    alike = next((path.name for path in sorted(root.iterdir()) if _is_misnamed(path.name)), None)
    if alike is not None:
        return f"a folder is named {alike}, not session01 and the like"
    reasons = Counter(reason for _, reason in rejected).most_common(3)
    return ", ".join(f"{count} x {reason}" for reason, count in reasons) or "it is empty"


def _is_misnamed(name: str) -> bool:
    return _LIKE_A_SESSION.fullmatch(name) is not None and _SESSION.fullmatch(name) is None


def parse_path(path: str) -> tuple[str, int, int, str, int]:
    """(subject, session, recording, camera, illumination) of a path relative to the root; raises RejectedImage."""
    folders = path.removeprefix("data/").split("/")
    name = folders.pop()
    ending = os.path.splitext(name)[1].lower()
    if ending not in IMAGES or len(folders) != _DEPTH:
        raise RejectedImage("stray file")
    if ending != ".png":
        raise RejectedImage(f"image, but not PNG: {ending}")
    match = _NAME.fullmatch(name)
    if match is None:
        raise RejectedImage("bad name")
    subject, session, recording, number, level, illumination = match.groups()
    camera = f"{number}_{level}"
    if folders != [f"session{session}", "multiview", subject, recording, camera]:
        raise RejectedImage("name and folder differ")
    if int(subject) not in SUBJECTS:
        raise RejectedImage(f"unknown subject: {subject}")
    if camera not in YAW and camera not in CEILING:
        raise RejectedImage(f"unknown camera: {camera}")
    if (int(session), int(recording)) not in EXPRESSIONS:
        raise RejectedImage(f"unknown recording: {recording} of session {session}")
    if int(illumination) not in ILLUMINATIONS:
        raise RejectedImage(f"unknown illumination: {illumination}")
    return subject, int(session), int(recording), camera, int(illumination)


def png_checksum(path: str) -> tuple[str, int]:
    """(checksum at the end of a PNG, 16 hex digits; bytes); RejectedImage unless it is 640 x 480, RGB and complete."""
    try:
        head, tail, size = _both_ends(path)
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
    return tail[:8].hex(), size


def _both_ends(path: str) -> tuple[bytes, bytes, int]:
    """The first 33 and the last 20 bytes of a file, and its size. A pipe, which would wait for ever, is rejected."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise RejectedImage("not a file")
        return os.pread(file, 33, 0), os.pread(file, 20, max(status.st_size - 20, 0)), status.st_size
    finally:
        os.close(file)


def read_image(path: str | Path) -> np.ndarray:
    """Decode a PNG to [H, W, 3] uint8 RGB; raises RejectedImage where it is missing or its data is damaged anywhere."""
    try:
        data = read_bytes(path, _MAX_BYTES)
    except MissingFile:
        raise RejectedImage("unreadable: No such file or directory") from None  # as the scan says it
    except InputError as error:
        raise RejectedImage(f"unreadable: {str(error).removeprefix(f'{path}: ')}") from None
    end = data.find(_PNG_TAIL)
    if 0 <= end < len(data) - len(_PNG_TAIL):
        raise RejectedImage("broken PNG: bytes after its end")
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
