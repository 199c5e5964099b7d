"""Arrays out of a file that is not trusted: present, of the right shape and type, finite, in bounds."""

from pathlib import Path

import numpy as np

from mfnet.errors import fail

LARGEST = 10.0
"""Metres, and bounds any coefficient direction: a head in millimetres is refused, not drawn."""


def array_field(fields: dict, name: str, shape: tuple, path: str | Path) -> np.ndarray:
    """`fields[name]` as an array of `shape`, where None leaves an axis free."""
    if name not in fields:
        fail(path, name, "is missing; is this the right file?")
    value = fields[name]
    value = value.dense(shape, name, path) if hasattr(value, "dense") else value
    if not isinstance(value, np.ndarray):
        fail(path, name, "is not a plain array of numbers")
    fits = value.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, value.shape, strict=True))
    if not fits:
        wanted = " x ".join("any" if n is None else str(n) for n in shape)
        fail(path, name, f"has shape {' x '.join(map(str, value.shape)) or 'scalar'}, expected {wanted}")
    return value


def float_array(fields: dict, name: str, shape: tuple, path: str | Path, largest: float = LARGEST) -> np.ndarray:
    """A finite floating array within +-`largest`, float32 or float64, native byte order, read-only or not."""
    value = array_field(fields, name, shape, path)
    if value.dtype.kind != "f" or value.dtype.itemsize > 8:
        fail(path, name, f"has type {value.dtype}, expected float32 or float64")
    value = np.ascontiguousarray(value, dtype=np.float64 if value.dtype.itemsize == 8 else np.float32)
    # One pass each and no temporary: a NaN makes min() NaN, which no comparison accepts.
    if value.size and not (value.min() >= -largest and value.max() <= largest):
        if not np.isfinite(value).all():
            fail(path, name, "has values that are not finite")
        fail(path, name, f"has values beyond {largest:g} (FLAME is in metres)")
    return value


def index_array(fields: dict, name: str, shape: tuple, limit: int, path: str | Path) -> np.ndarray:
    """An integer array of indices 0..limit-1, as int64."""
    value = array_field(fields, name, shape, path)
    if value.dtype.kind not in "iu":
        fail(path, name, f"has type {value.dtype}, expected integers")
    if value.size and not (int(value.min()) >= 0 and int(value.max()) < limit):
        fail(path, name, f"has an index outside 0..{limit - 1}")
    return np.ascontiguousarray(value, dtype=np.int64)
