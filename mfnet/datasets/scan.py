"""The scan that turns a Multi-PIE directory into a manifest.

The scan looks at every file's name and at the two ends of the PNG: signature, header (IHDR, its checksum and size) and
the closing IEND chunk. That finds foreign, truncated and half-copied files at the price of two small reads, where
decoding the archive's 755,000 images would take hours; damage inside the pixel data is found by the landmark stage,
which decodes what the plan names. The same reads give each image's checksum: the eight bytes before IEND end the last
data chunk, the Adler-32 of all pixels and the CRC-32 of that chunk. So a manifest differs wherever an image does, and
two names with equal content are seen. `Look` asks for more: a hash of the whole file, or that every image is decoded.

Nothing is left out unseen: what is no image of the archive is in the rejected table, but for what `is_aside` names.
"""

import hashlib
import logging
import os
import re
import stat
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from mfnet.compute.executor import SERIAL, Compute
from mfnet.datasets.multipie import (
    EXAMPLE,
    EXPRESSIONS,
    HEIGHT,
    ILLUMINATIONS,
    OTHER_PARTS,
    PNG_TAIL,
    WIDTH,
    YAW,
    RejectedImage,
    image_bytes,
    is_aside,
    is_below_images,
    is_session,
    parse_path,
    read_image,
)
from mfnet.datasets.seen import SCHEMA, Names, Search, findings, findings_key, no_collection, paths_of, signature, those
from mfnet.errors import InputError
from mfnet.io.ends import glance
from mfnet.io.walk import walk_folders

log = logging.getLogger(__name__)

_IDENTITY = ["subject", "session", "recording", "camera", "illumination"]
_LIKE_A_SESSION = re.compile(r"session[ _-]?[0-9]+", re.IGNORECASE)
_PNG_HEAD = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"
_GOOD_HEAD = _PNG_HEAD + (_SIZE := struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0))
_GOOD_HEAD += struct.pack(">I", zlib.crc32(b"IHDR" + _SIZE))
_LIGHT_ENDINGS = [f"{number:02d}.png" for number in ILLUMINATIONS]
_NAME_LENGTH = len(EXAMPLE.rpartition("/")[2])
_CHUNK = 20_000  # files per unit of work: seconds of it, and a small archive needs no cluster
_CHUNK_READ = 500  # the same where files are read whole


@dataclass(frozen=True)
class Look:
    """How closely a scan looks at an image."""

    content: bool = False
    """The checksum is the first 16 digits of the file's SHA-256 in place of the checksums at its end."""
    decode: bool = False
    """Every image is decoded (`read_image`), so that damage inside the pixel data is found before the plan is made."""


@no_collection()
def scan(
    root: str | Path, compute: Compute = SERIAL, look: Look | None = None, kept: str | Path | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the images of an archive: (manifest, rejected), both ordered by path.

    manifest: path, subject ("001"), session, recording, camera ("05_1"), illumination, checksum (16 hex digits),
    expression, yaw (nominal, degrees; null of a ceiling camera), width, height. rejected: path, reason. Paths are
    relative to `root`, with ``/``; `root` holds ``session01`` ..., or ``data/session01`` ...

    kept: folder of findings (`mfnet.datasets.seen`): a file that is as it was is not opened again.

    Raises InputError where `root` is missing, vanishes meanwhile or holds no image that passes.
    """
    root, look = Path(root), look or Look()
    if not root.is_dir():
        raise InputError(f"source.multipie: {root}: no such folder; name the one that holds session01 ...")
    files, rejected = _files(root)
    chunk = _CHUNK_READ if look.content or look.decode else _CHUNK
    search = Search(str(root), partial(_check_files, str(root), look), chunk, compute)
    found = findings(files, search, None if kept is None else Path(kept, findings_key(root, look, "scan", "multipie")))
    if found.num_rows and (not root.is_dir() or not any(root.iterdir())):
        raise InputError(f"source.multipie: {root}: empty or gone while it was read; is its disk still mounted?")
    good = np.asarray(found["reason"].is_null())
    bad = found.filter(pa.array(~good))
    rejected += zip(bad["path"].to_pylist(), bad["reason"].to_pylist(), strict=True)
    if not good.any():
        raise InputError(
            f"source.multipie: {root}: no Multi-PIE image such as {EXAMPLE} in it ({_trouble(root, rejected)})"
        )
    found = found if good.all() else found.filter(pa.array(good))
    images = _identities(found["path"].combine_chunks())
    identity = pd.Series(images.to_numpy() @ [10**10, 10**8, 10**6, 10**3, 1])
    manifest, doubtful = _without_copies(_manifest(found, images), identity, found["size"].to_numpy())
    table = pd.DataFrame(sorted(rejected + doubtful), columns=["path", "reason"], dtype="str")
    if manifest.empty:
        raise InputError(f"source.multipie: {root}: every image is a copy of another ({': '.join(table.iloc[0])}, ...)")
    return manifest, table


def _files(root: Path) -> tuple[Names, list[tuple[str, str]]]:
    """(every file to look at, in the order of their paths; (path, fault) of what cannot be looked at)."""
    files, faults = [], []
    for folder in walk_folders(root, lambda path: path.rpartition("/")[2] not in OTHER_PARTS):
        if folder.fault is not None:
            faults.append((folder.path, folder.fault))
        names = [entry.name for entry in folder.files]
        if any(name[-4:] != ".png" or name[0] == "." for name in names):
            names = [name for name in names if not is_aside(name)]
        if names:
            files.append((folder.path, names))
        for found in folder.others:
            if found.fault is None:
                if is_below_images(found.path):
                    faults.append((found.path, "stray file"))
            elif found.fault.startswith("unreadable") or not is_aside(found.path):
                faults.append((found.path, found.fault))
    closed = [path for path, fault in faults if fault.startswith("unreadable folder")]
    if closed:
        log.warning("%s: %d folders cannot be read, and what they hold is lost: %s", root, len(closed), closed[:3])
    return sorted(files, key=lambda item: f"{item[0]}/"), faults


@no_collection()
def _check_files(root: str, look: Look, files: Names) -> pa.Table:
    """Rows of `mfnet.datasets.seen.SCHEMA`: the checksum of a good file, the reason for any other.

    Files that are as they should be are seen at a glance, the others one by one.
    """
    paths, usual = paths_of(files), []
    for folder, names in files:
        usual += _usual(folder, names)
    start = os.path.join(root, "")
    plain = np.array(usual, bool) & (not (look.content or look.decode))
    checksums, states, reasons = np.zeros((len(paths), 8), np.uint8), np.zeros((len(paths), 3), np.int64), {}
    seen = glance(root, those(files, plain), _GOOD_HEAD, PNG_TAIL, more=8)
    checksums[plain], states[plain] = seen.tails[:, :8], seen.states
    plain[plain] = seen.expected
    for index in np.flatnonzero(~plain).tolist():
        states[index] = signature(start + paths[index])
        try:
            parse_path(paths[index])
            checksum = _checked(start + paths[index], look)
        except RejectedImage as error:
            checksum, reasons[index] = bytes(8), str(error)
        checksums[index] = np.frombuffer(checksum, np.uint8)
    rejected = [reasons.get(index) for index in range(len(paths))] if reasons else pa.nulls(len(paths), pa.string())
    return pa.table([paths, *states.T, _digits(checksums.tobytes()), rejected], schema=SCHEMA)


def _digits(checksums: bytes) -> pa.StringArray:
    """16 hex digits for every eight bytes."""
    offsets = np.arange(0, 2 * len(checksums) + 1, 16, dtype=np.int32)
    buffers = pa.py_buffer(offsets), pa.py_buffer(checksums.hex().encode())
    return pa.StringArray.from_buffers(len(checksums) // 8, *buffers)


def _checked(path: str, look: Look) -> bytes:
    """The checksum, eight bytes, of an image; RejectedImage unless it is one as it should be."""
    checksum = _checksum(both_ends(path))
    if look.decode:
        read_image(path)
    if not look.content:
        return checksum
    return hashlib.sha256(image_bytes(path)).digest()[:8]


def _usual(folder: str, names: list[str]) -> list[bool]:
    """Which names of a folder's files are those of its images; others may be, in another spelling."""
    start = _usual_start(folder)
    if start is None:
        return [False] * len(names)
    wanted = [start + ending for ending in _LIGHT_ENDINGS]
    return [True] * len(names) if names == wanted else [name in wanted for name in names]


def _usual_start(folder: str) -> str | None:
    """What the names of the images in a folder begin with, up to the flash; None where none belongs there."""
    parts = folder.split("/")
    start = "_".join([parts[-3], parts[-5][-2:], parts[-2], parts[-1].replace("_", ""), ""]) if len(parts) > 4 else ""
    try:
        parse_path(f"{folder}/{start}00.png")
    except RejectedImage:
        return None
    return start


def _without_copies(
    manifest: pd.DataFrame, identity: pd.Series, sizes: np.ndarray
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """(the manifest without doubtful images, (path, reason) of those): two files of one image, two names of one file.

    identity: what image each row says to be, as one number; sizes: bytes of each file.

    Of two endings that differ in case the usual one is kept. Of equal content under the names of two images neither
    is: which name is wrong cannot be seen.
    """
    content = manifest.loc[:, ["checksum"]].assign(size=sizes)
    if identity.is_unique and len(content["checksum"].unique()) == len(content):
        return manifest, []
    usual_first = manifest.loc[:, "path"].str.endswith(".png").sort_values(ascending=False, kind="stable").index
    second = identity.loc[usual_first].duplicated().reindex(manifest.index)
    kept = manifest.loc[~second, [*_IDENTITY, "path"]]
    twins = manifest.loc[second].merge(kept, on=_IDENTITY, suffixes=("", "_kept"))
    pairs = zip(twins["path"], twins["path_kept"], strict=True)
    rejected = [(path, f"second file of the same image: {first}") for path, first in pairs]
    content = content.assign(path=manifest["path"]).loc[~second]
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
        if is_session(folder.name):
            return f"it lies inside {folder.name}: name {folder.parent}"
    for pattern in ("*", "*/*", "*/*/*"):
        inner = next((path for path in sorted(root.glob(pattern)) if is_session(path.name) and path.is_dir()), None)
        if inner is not None and inner.parent not in (root, root / "data"):
            return f"the sessions are farther below: name {inner.parent}"
    alike = next((path.name for path in sorted(root.iterdir()) if _is_misnamed(path.name)), None)
    if alike is not None:
        return f"a folder is named {alike}, not session01 and the like"
    reasons = Counter(reason for _, reason in rejected).most_common(3)
    return ", ".join(f"{count} x {reason}" for reason, count in reasons) or "it is empty"


def _is_misnamed(name: str) -> bool:
    return _LIKE_A_SESSION.fullmatch(name) is not None and not is_session(name)


def png_checksum(path: str) -> tuple[str, int]:
    """(checksum at the end of a PNG, 16 hex digits; bytes); RejectedImage unless it is 640 x 480, RGB and complete."""
    ends = both_ends(path)
    return _checksum(ends).hex(), ends.size


def _checksum(ends: "Ends") -> bytes:
    """The checksum in a PNG's last 20 bytes, if they and the first 33 are those of an image of ours."""
    head, tail = ends.head, ends.tail
    if ends.size == 0:
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
    if not tail.endswith(PNG_TAIL):
        raise RejectedImage("broken PNG: truncated")
    return tail[:8]


class Ends(NamedTuple):
    """Of a file: its first 33 and last 20 bytes, and its size."""

    head: bytes
    tail: bytes
    size: int


def both_ends(path: str) -> Ends:
    """Both ends of a file. RejectedImage where it cannot be read, or is a pipe, which would wait for ever."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            state = os.fstat(file)
            if not stat.S_ISREG(state.st_mode):
                raise RejectedImage("not a file")
            return Ends(os.pread(file, 33, 0), os.pread(file, 20, max(state.st_size - 20, 0)), state.st_size)
        finally:
            os.close(file)
    except OSError as error:
        raise RejectedImage(f"unreadable: {error.strerror}") from None


def _identities(paths: pa.StringArray) -> pd.DataFrame:
    """What image each path of a good file says to be, in numbers: subject, session, recording, camera (51 for 05_1),
    illumination. Names are of one length, so that columns are cut out of all of them at once."""
    ends = np.frombuffer(paths.buffers()[1], np.int32)[paths.offset + 1 :][: len(paths)]
    letters = np.frombuffer(paths.buffers()[2], np.uint8)
    places = {"subject": (0, 3), "session": (4, 6), "recording": (7, 9), "camera": (10, 13), "illumination": (14, 16)}

    def number(start: int, stop: int) -> np.ndarray:
        digits = [letters[ends - _NAME_LENGTH + place].astype(np.int64) - ord("0") for place in range(start, stop)]
        return np.sum([digit * 10**power for power, digit in enumerate(reversed(digits))], axis=0)

    return pd.DataFrame({name: number(*place) for name, place in places.items()})


def manifest_of(paths: list[str], checksums: list[str]) -> pd.DataFrame:
    """The manifest of good files, by their paths."""
    found = pa.table({"path": paths, "checksum": checksums})
    return _manifest(found, _identities(found["path"].combine_chunks()))


def _manifest(found: pa.Table, images: pd.DataFrame) -> pd.DataFrame:
    """One row a good file, with what `_identities` says of it."""
    table = found.select(["path"]).to_pandas()
    subject, session, recording, camera = (images[name].to_numpy() for name in _IDENTITY[:4])
    table["subject"] = _spelt(subject, lambda value: f"{value:03d}")
    table["session"] = images["session"]
    table["recording"] = images["recording"]
    table["camera"] = _spelt(camera, lambda value: f"{value // 10:02d}_{value % 10}")
    table["illumination"] = images["illumination"]
    table["checksum"] = found["checksum"].to_pandas()
    table["expression"] = _spelt(100 * session + recording, lambda value: EXPRESSIONS[divmod(value, 100)])
    table["yaw"] = table.loc[:, "camera"].map(YAW)
    table["width"] = WIDTH
    table["height"] = HEIGHT
    return table


def _spelt(values: np.ndarray, spell: Callable[[int], str]) -> pd.Series:
    """A column of texts, one for each of a few values."""
    which, different = pd.factorize(values)
    return pd.Series([spell(int(value)) for value in different], dtype="str").take(which).reset_index(drop=True)
