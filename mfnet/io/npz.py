"""Reading .npz archives from outside: no pickle, and every size is known from the headers before memory is taken."""

import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np

from mfnet.errors import InputError

_END_RECORD = b"PK\x05\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_MAX_DIRECTORY = 64 << 10  # bytes: some hundreds of members
_KINDS = "fiubU"
_ALWAYS_ALLOWED = 16 << 20
_MAX_EXPANSION = 64
_CHUNK = 4 << 20  # bytes of a large array in memory at once
# What numpy's header parser lets through of the Python tokenizer and parser that it uses.
_BAD_HEADER = (ValueError, KeyError, SyntaxError, TypeError, OverflowError, RecursionError, MemoryError, TokenError)
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
    struct.error,
)


def read_npz(path: str | Path, limit: int, names: set[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an .npz, only those in `names` if given.

    Takes at most `limit` bytes, and at most 64 times the file's size (or 16 MiB): a small file that unpacks to more is
    a bomb, not a head. Arrays of objects are refused, never unpickled. Raises InputError naming file and member.
    """
    path = Path(path)
    limit = _bounded(limit, path)
    arrays: dict[str, np.ndarray] = {}
    with _members(path) as members:
        for name, stream in members:
            if names is None or name in names:
                arrays[name] = _read_array(stream, limit, f"{path}: field '{name}'")
                limit -= arrays[name].nbytes
    return arrays


def npz_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array of an .npz, from the headers alone."""
    with _members(Path(path)) as members:
        return {name: read_npy_header(stream, f"{path}: field '{name}'")[0] for name, stream in members}


def read_npz_columns(path: str | Path, name: str, count: int, limit: int) -> np.ndarray:
    """The first `count` of the last axis of array `name`, as float32 [rows, count], read row by row.

    Only the result takes memory, at most `limit` bytes and 64 times the file's size.
    """
    path, where = Path(path), f"{path}: field '{name}'"
    with _members(path) as members:
        for member, stream in members:
            if member == name:
                return _read_columns(stream, count, _bounded(limit, path), where)
    raise InputError(f"{where} is missing")


def _bounded(limit: int, path: Path) -> int:
    return min(limit, max(_ALWAYS_ALLOWED, _MAX_EXPANSION * path.stat().st_size))


@contextmanager
def _members(path: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Yield an iterator over (name, open stream) of an .npz; whatever is wrong with the archive is an InputError."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of an .npz file")
    _check_directory(path)
    current = "(directory)"

    def streams(archive: zipfile.ZipFile) -> Iterator[tuple[str, IO[bytes]]]:
        nonlocal current
        seen = set()
        for info in archive.infolist():
            current = info.filename.removesuffix(".npy")
            if current in seen:
                raise InputError(f"{path}: field '{current}' is stored twice")
            seen.add(current)
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InputError(f"{path}: field '{current}' uses an unusual compression; save it again with numpy")
            with archive.open(info) as stream:
                yield current, stream

    try:
        with zipfile.ZipFile(path) as archive:
            yield streams(archive)
    except InputError:
        raise
    except _DAMAGED as error:
        raise InputError(f"{path}: field '{current}' is damaged ({_short(error)}); copy the file again") from None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _check_directory(path: Path) -> None:
    try:
        with open(path, "rb") as file:
            check_directory(file, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def check_directory(file: IO[bytes], path: str | Path) -> None:
    """Bound the zip directory, which `zipfile` would read whole, from the end record. Raises InputError."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - 65557))
    tail = file.read()
    at = tail.rfind(_END_RECORD)
    if at < 0 or len(tail) < at + 22:
        raise InputError(f"{path}: not a whole zip file; copy it again")
    size = struct.unpack_from("<I", tail, at + 12)[0]
    if size > _MAX_DIRECTORY or tail[max(0, at - 20) : at].startswith(_ZIP64_LOCATOR):
        raise InputError(f"{path}: the zip directory is larger than any that is read here")


def _read_array(stream: IO[bytes], limit: int, where: str) -> np.ndarray:
    shape, fortran, dtype = read_npy_header(stream, where)
    size = math.prod(shape) * dtype.itemsize
    if size > limit:
        raise InputError(f"{where} declares {size >> 20} MiB, more than this file may unpack to")
    data = stream.read(size)
    if len(data) != size or stream.read(1):
        raise InputError(f"{where} does not hold the {size} bytes that it declares")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_columns(stream: IO[bytes], count: int, limit: int, where: str) -> np.ndarray:
    shape, fortran, dtype = read_npy_header(stream, where, kinds="f")
    rows = math.prod(shape[:-1])
    if fortran or not shape or shape[-1] < count or not 0 < rows * count * 4 <= limit:
        raise InputError(f"{where} is not a C-ordered array with {count} columns, or too large for this file")
    columns = np.empty((rows, count), np.float32)
    width = shape[-1] * dtype.itemsize
    if width > _CHUNK:
        raise InputError(f"{where} has {shape[-1]} columns, more than any texture space")
    step = _CHUNK // width
    for first in range(0, rows, step):
        size = min(step, rows - first) * width
        data = stream.read(size)
        if len(data) != size:
            raise InputError(f"{where} ends before the data that it declares")
        columns[first : first + step] = np.frombuffer(data, dtype).reshape(-1, shape[-1])[:, :count]
    return columns


def read_npy_header(stream: IO[bytes], where: str, kinds: str = _KINDS) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and dtype of the .npy at `stream`, leaving it at the data (numpy bounds its length)."""
    try:
        version = np.lib.format.read_magic(stream)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = reader(stream)
    except _BAD_HEADER as error:
        raise InputError(f"{where} has no valid .npy header ({_short(error)})") from None
    if dtype.kind not in kinds or dtype.fields is not None or dtype.subdtype is not None:
        kind = "objects, which could run code" if dtype.hasobject else str(dtype)[:40]
        raise InputError(f"{where} is an array of {kind}; only plain numbers are read")
    if len(shape) > 8 or any(not 0 <= n < 1 << 40 for n in shape):
        raise InputError(f"{where} declares an impossible shape")
    return shape, fortran, dtype
