"""Tensors inside a pickle, as DECA's landmark embedding has them: torch's legacy storage format, read without torch."""

import io
import struct
from collections.abc import Callable
from typing import Any, Never

import numpy as np

from mfnet.io.pickle_names import ALLOWED, PickledArray, Refused
from mfnet.io.pickles import Budget, Machine

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<b1",
}


class _Storage:
    """One flat row of numbers that tensors are views of."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values


def _load_storage(budget: Budget, data: Any) -> _Storage:
    """`torch.storage._load_from_bytes`: magic, version, system, the storage's description, its key, its numbers."""
    if isinstance(data, str):
        data = data.encode("latin-1")
    budget.spend(len(data))
    stream = io.BytesIO(data)
    machine = Machine(budget, _INSIDE, persistent=_description)
    magic, version, system = (machine.run(stream) for _ in range(3))
    if magic != _MAGIC or version != _VERSION or system.get("little_endian") is not True:
        raise ValueError("a tensor that is not in torch's legacy format")
    key, dtype, count = machine.run(stream)
    if machine.run(stream) != [key]:
        raise ValueError("a tensor whose storage is missing")
    values = np.frombuffer(data, dtype, offset=stream.tell() + 8)
    if struct.unpack_from("<q", data, stream.tell()) != (count,) or len(values) != count:
        raise ValueError("a tensor storage of another size than declared")
    return _Storage(values)


def _description(identity: Any) -> tuple[str, np.dtype, int]:
    """Persistent id ('storage', type, key, device, count, view) -> (key, dtype, count)."""
    kind, dtype, key, _, count, view = identity
    if kind != "storage" or view is not None or type(key) is not str or type(count) is not int:
        raise ValueError("a tensor storage of unknown kind")
    return key, dtype(None), count


def _tensor(budget: Budget, storage: _Storage, offset: Any, size: Any, stride: Any, *_: Any) -> PickledArray:
    """`torch._utils._rebuild_tensor_v2`: a strided view, checked to stay inside its storage and not to grow."""
    if len(size) != len(stride) or len(size) > 8:
        raise ValueError("a tensor of impossible shape")
    if not all(type(n) is int and 0 <= n < 1 << 40 for n in (offset, *size, *stride)):
        raise ValueError("a tensor of impossible shape")
    count = len(storage.values)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 in size or last >= count or np.prod(size, dtype=object) > count:
        raise ValueError("a tensor that leaves its storage")
    item = storage.values.itemsize
    strides = [step * item for step in stride]
    return PickledArray(np.lib.stride_tricks.as_strided(storage.values[offset:], size, strides, writeable=False))


def _forbidden(budget: Budget, *_: Any) -> Never:
    raise Refused("has a tensor storage inside a tensor storage")


def _storage_type(code: str) -> Callable[[object], np.dtype]:
    dtype = np.dtype(code)
    return lambda _: dtype


_INSIDE: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch", name): _storage_type(code) for name, code in _STORAGES.items()
}
_INSIDE["torch.storage", "_load_from_bytes"] = _forbidden
WITH_TENSORS = ALLOWED | {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _load_storage,
}
"""The names of a landmark embedding, for `pickles.read_pickle`."""
