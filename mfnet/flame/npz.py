"""Reading .npz archives from outside: no pickle, and every size is known from the headers before memory is taken."""

import math
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from mfnet.errors import InputError

_END_RECORD = b"PK\x05\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_MAX_DIRECTORY = 64 << 10  # bytes: some hundreds of members
_KINDS = "fiubU"
_ALWAYS_ALLOWED = 16 << 20
_MAX_EXPANSION = 64
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
    _check_directory(path)
    limit = min(limit, max(_ALWAYS_ALLOWED, _MAX_EXPANSION * path.stat().st_size))
    arrays, member = {}, "(directory)"
    try:
        with zipfile.ZipFile(path) as archive:
            chosen = [info for info in archive.infolist() if names is None or _field(info) in names]
            for info in chosen:
                member = _field(info)
                if member in arrays:
                    raise InputError(f"{path}: field '{member}' is stored twice")
                arrays[member] = _read_member(archive, info, limit, f"{path}: field '{member}'")
                limit -= arrays[member].nbytes
    except InputError:
        raise
    except _DAMAGED as error:
        raise InputError(f"{path}: field '{member}' is damaged ({_short(error)}); copy the file again") from None
    return arrays


def _field(info: zipfile.ZipInfo) -> str:
    return info.filename.removesuffix(".npy")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _check_directory(path: Path) -> None:
    """Bound the zip directory, which `zipfile` would read whole, from the end record."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 65557))
        tail = file.read()
    at = tail.rfind(_END_RECORD)
    if at < 0 or len(tail) < at + 22:
        raise InputError(f"{path}: not a whole .npz (zip) file; copy it again")
    size = struct.unpack_from("<I", tail, at + 12)[0]
    if size > _MAX_DIRECTORY or tail[max(0, at - 20) : at].startswith(_ZIP64_LOCATOR):
        raise InputError(f"{path}: the zip directory is larger than any .npz of a head needs")


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int, where: str) -> np.ndarray:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{where} uses an unusual compression; only stored and deflated members are read")
    with archive.open(info) as stream:
        shape, fortran, dtype = read_npy_header(stream, where)
        size = math.prod(shape) * dtype.itemsize
        if size > limit:
            raise InputError(f"{where} declares {size >> 20} MiB, more than this file may unpack to")
        data = stream.read(size)
        if len(data) != size or stream.read(1):
            raise InputError(f"{where} does not hold the {size} bytes that it declares")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def read_npy_header(stream, where: str, kinds: str = _KINDS) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and dtype of the .npy at `stream`, leaving it at the data (numpy bounds its length)."""
    try:
        version = np.lib.format.read_magic(stream)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = reader(stream)
    except (ValueError, KeyError, SyntaxError, RecursionError, MemoryError, TypeError, OverflowError) as error:
        raise InputError(f"{where} has no valid .npy header ({_short(error)})") from None
    if dtype.kind not in kinds or dtype.fields is not None or dtype.subdtype is not None:
        kind = "objects, which could run code" if dtype.hasobject else str(dtype)[:40]
        raise InputError(f"{where} is an array of {kind}; only plain numbers are read")
    if len(shape) > 8 or any(not 0 <= n < 1 << 40 for n in shape):
        raise InputError(f"{where} declares an impossible shape")
    return shape, fortran, dtype
