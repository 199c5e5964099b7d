"""MATLAB's .mat files, level 5: arrays of real numbers by name, and nothing else.

scipy's reader ends the process (a segmentation fault) on a number type out of its table, so that one damaged byte among
thousands of annotations would end a whole run. Format: MathWorks, "MAT-File Format", level 5.
"""

import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX, _CLASS = 0x800, 0xFF
_HEADER = 128
_MAX_UNPACKED = 1 << 20
_MAX_ELEMENTS = 256


def parse_mat(content: bytes, names: set[str]) -> dict[str, np.ndarray]:
    """The arrays of real numbers called `names` in a file's bytes; those of other kinds are left out.

    Raises ValueError, which says what is wrong, for anything that is no level-5 file or is damaged.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise ValueError("not a MATLAB 5 file")
    found: dict[str, np.ndarray] = {}
    try:
        for kind, data in _elements(content[_HEADER:], order, padded=False):
            if kind == _COMPRESSED:
                unpacker = zlib.decompressobj()
                data = unpacker.decompress(data, _MAX_UNPACKED)
                if unpacker.unconsumed_tail:
                    raise ValueError(f"a variable unpacks to more than {_MAX_UNPACKED >> 20} MiB")
                kind, data = next(_elements(data, order), (0, b""))
            if kind == _MATRIX:
                found |= _matrix(data, order, names)
    except (struct.error, zlib.error) as error:
        raise ValueError(f"damaged: {error}") from None
    return found


def _elements(data: bytes, order: str, padded: bool = True) -> Iterator[tuple[int, bytes]]:
    """(type, content) of the elements that follow each other in `data`; inside a matrix each fills whole 8 bytes."""
    at = count = 0
    while at + 8 <= len(data):
        count += 1
        if count > _MAX_ELEMENTS:
            raise ValueError("more elements than any annotation has")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        start = at + 8
        if kind >> 16:  # a small element: size and type share the first word, the content is the second
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
            if size > 4:
                raise ValueError("a small element of more than 4 bytes")
        if start + size > len(data):
            raise ValueError("an element ends beyond the file")
        yield kind, data[start : start + size]
        at = at + 8 if start == at + 4 else start + (-(-size // 8) * 8 if padded or kind == _MATRIX else size)


def _matrix(data: bytes, order: str, names: set[str]) -> dict[str, np.ndarray]:
    """{name: array} of one of `names` that is of real numbers, else nothing."""
    parts = _elements(data, order)
    (_, flags), (_, shape), (_, name) = (next(parts, (0, b"")) for _ in range(3))
    label = name.decode("latin-1")
    if label not in names:
        return {}
    (flag,) = struct.unpack_from(f"{order}I", flags)
    kind, values = next(parts, (0, b""))
    if flag & _CLASS not in _NUMERIC_CLASSES or flag & _COMPLEX:
        return {}
    if kind not in _TYPES or len(shape) % 4 or not 1 <= len(shape) // 4 <= 4:
        raise ValueError(f"{label} has a type or shape that is none")
    sides = struct.unpack(f"{order}{len(shape) // 4}i", shape)
    dtype = np.dtype(order + _TYPES[kind])
    if min(sides) < 0 or math.prod(sides) * dtype.itemsize != len(values):
        raise ValueError(f"{label} holds {len(values)} bytes, not those of its shape {sides}")
    return {label: np.frombuffer(values, dtype).reshape(sides, order="F").astype(np.float64)}
