"""What the names in a head model's pickle stand for: plain data, built here without the libraries that are named.

NumPy arrays become arrays, scipy's compressed matrices `SparseMatrix`, chumpy's `Ch` the array inside; torch tensors
become arrays (see `torch_storage`). Every size is checked against the bytes that are really there before it is used.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

import numpy as np

from mfnet.errors import fail

if TYPE_CHECKING:  # it imports this module
    from mfnet.io.pickles import Budget

_PLAIN_DTYPE = re.compile(r"[<>=|]?(?:b1|[iu][1248]|f[248]|[SU][0-9]{1,6}|O8?)")
_BYTE_ORDERS = "<>=|"
_MAX_DIMENSIONS = 8
_MAX_LENGTH = 1 << 40


class Refused(Exception):
    """The file asks for something that no head model needs; the message says what."""


@dataclass(eq=False)
class PickledDtype:
    """`numpy.dtype` of plain numbers, text or objects; None stands for any other, whose arrays stay unread."""

    dtype: np.dtype | None

    def build(self, state: Any, budget: "Budget") -> None:
        """State (version, byte order, sub-dtype, names, fields, ...)."""
        if len(state) < 5 or state[1] not in _BYTE_ORDERS:
            raise ValueError("an unknown form of dtype")
        if self.dtype is not None:
            self.dtype = self.dtype.newbyteorder(state[1]) if all(part is None for part in state[2:5]) else None


@dataclass(eq=False)
class PickledArray:
    """`numpy.ndarray`: a view of the file's bytes, or the list of an object array's items."""

    value: np.ndarray | None = None
    items: list | None = None

    def build(self, state: Any, budget: "Budget") -> None:
        """State (version, shape, dtype, is Fortran ordered, data)."""
        _, shape, dtype, fortran, data = state
        if dtype.dtype is None:
            return
        if dtype.dtype.hasobject:
            if type(data) is not list or len(data) != _count(shape):
                raise ValueError("an object array without its items")
            self.items = data
        else:
            self.value = _array(data, dtype, shape, "F" if fortran else "C", budget)


@dataclass(eq=False)
class ChumpyArray:
    """`chumpy.Ch`: its state holds the array as `x`."""

    x: object = None

    def build(self, state: Any, budget: "Budget") -> None:
        self.x = state["x"]


@dataclass(eq=False)
class SparseMatrix:
    """A scipy matrix in compressed columns (csc) or rows (csr)."""

    by_columns: bool
    state: dict = field(default_factory=dict)

    def build(self, state: Any, budget: "Budget") -> None:
        self.state = {name: resolve(state.get(name)) for name in ("_shape", "data", "indices", "indptr")}

    def dense(self, shape: tuple, name: str, path: str | Path) -> np.ndarray:
        """The matrix as an array, if its shape is `shape`: memory is bounded by what the caller expects."""
        stored = self.state.get("_shape")
        if type(stored) is not tuple or not all(type(n) is int for n in stored) or stored != shape:
            fail(path, name, f"is a sparse matrix of another shape than {shape[0]} x {shape[1]}")
        data, indices, indptr = (
            self._row(key, kinds, name, path) for key, kinds in (("data", "f"), ("indices", "iu"), ("indptr", "iu"))
        )
        major, minor = reversed(shape) if self.by_columns else shape
        steps = np.diff(indptr.astype(np.int64))
        if len(indptr) != major + 1 or int(indptr[0]) != 0 or steps.min() < 0 or int(indptr[-1]) != len(data):
            fail(path, name, "is a sparse matrix whose 'indptr' does not fit its shape")
        if len(indices) != len(data) or (len(data) and not (0 <= int(indices.min()) and int(indices.max()) < minor)):
            fail(path, name, "is a sparse matrix with 'indices' outside of its shape")
        dense = np.zeros((major, minor), data.dtype.newbyteorder("="))
        np.add.at(dense, (np.repeat(np.arange(major), steps), indices.astype(np.int64)), data)
        return dense.T if self.by_columns else dense

    def _row(self, key: str, kinds: str, name: str, path: str | Path) -> np.ndarray:
        part = self.state.get(key)
        if not (isinstance(part, np.ndarray) and part.ndim == 1 and part.dtype.kind in kinds):
            fail(path, name, f"is a sparse matrix whose '{key}' is not a row of numbers")
        return part


def resolve(value: Any) -> Any:
    """The array that a stand-in holds; anything else (an array of objects too) as it is."""
    if isinstance(value, ChumpyArray):
        value = value.x
    return value.value if isinstance(value, PickledArray) and value.value is not None else value


def _count(shape: Any) -> int:
    """Number of items of `shape`, which comes from the file."""
    if type(shape) is not tuple or len(shape) > _MAX_DIMENSIONS:
        raise ValueError("an array without a shape")
    if not all(type(n) is int and 0 <= n < _MAX_LENGTH for n in shape):
        raise ValueError("an array of impossible shape")
    return math.prod(shape)


def _array(data: Any, dtype: PickledDtype, shape: Any, order: str, budget: "Budget") -> np.ndarray:
    """View `data` as an array; text is Python 2's way to write bytes."""
    if isinstance(data, str):
        budget.spend(len(data))
        data = data.encode("latin-1")
    if (
        dtype.dtype is None
        or not isinstance(data, bytes | bytearray)
        or order not in ("C", "F")
        or dtype.dtype.hasobject
    ):
        raise ValueError("an array without data")
    if _count(shape) * dtype.dtype.itemsize != len(data):
        raise ValueError(f"an array of shape {shape} that holds {len(data)} bytes")
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order)


def _dtype(budget: "Budget", code: Any, *_: Any) -> PickledDtype:
    code = code.decode("latin-1") if isinstance(code, bytes) else code
    plain = isinstance(code, str) and len(code) <= 8 and _PLAIN_DTYPE.fullmatch(code)
    return PickledDtype(np.dtype(code) if plain else None)


def _reconstruct(budget: "Budget", kind: Any, *_: Any) -> PickledArray:
    """Whatever shape is declared here, memory comes only with the data, in `PickledArray.build`."""
    if kind is not _ndarray:
        raise ValueError("a subclass of ndarray")
    return PickledArray()


def _ndarray(budget: "Budget", *_: Any) -> Never:
    raise Refused("calls numpy.ndarray itself, which takes memory without data")


def _frombuffer(
    budget: "Budget", data: Any, dtype: PickledDtype, shape: Any, order: str, axes: Any = None
) -> PickledArray:
    """Protocol 5; order 'K' says that the axes were permuted before they were written."""
    if dtype.dtype is None:
        return PickledArray()
    if order != "K" or axes is None:
        return PickledArray(_array(data, dtype, shape, order, budget))
    _count(axes)  # a short tuple of whole numbers
    return PickledArray(_array(data, dtype, shape, "C", budget).transpose(axes))


def _scalar(budget: "Budget", dtype: PickledDtype, data: Any) -> Any:
    return _array(data, dtype, (), "C", budget).item()


def _encode(budget: "Budget", text: Any, encoding: Any = "latin1") -> bytes:
    """How Python 3 writes bytes in protocol 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("text in an unknown encoding")
    budget.spend(len(text))
    return text.encode("latin-1")


def _empty_bytes(budget: "Budget") -> bytes:
    return b""


def _set(budget: "Budget", *_: Any) -> list:
    """Chumpy keeps its book in sets; nothing of it is needed."""
    return []


def _ordered_dict(budget: "Budget") -> dict:
    return {}


def _object(budget: "Budget") -> None:
    return None


def _new(budget: "Budget", kind: Any, *_: Any) -> ChumpyArray | SparseMatrix:
    """`copyreg.__newobj__` and `_reconstructor`: an empty instance; its state comes by `build`."""
    if kind not in (_chumpy, _csc, _csr):
        raise ValueError("an instance of something that has none")
    return kind(budget)


def _chumpy(budget: "Budget") -> ChumpyArray:
    return ChumpyArray()


def _csc(budget: "Budget") -> SparseMatrix:
    return SparseMatrix(by_columns=True)


def _csr(budget: "Budget") -> SparseMatrix:
    return SparseMatrix(by_columns=False)


def _allowed() -> dict[tuple[str, str], Callable[..., Any]]:
    """(module, name) -> our function, over the modules' names through the years."""
    table: dict[tuple[str, str], Callable[..., Any]] = {("numpy", "dtype"): _dtype, ("numpy", "ndarray"): _ndarray}
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = _reconstruct
        table[f"{core}.multiarray", "scalar"] = _scalar
        table[f"{core}.numeric", "_frombuffer"] = _frombuffer
    for form, make in (("csc", _csc), ("csr", _csr)):
        for module in (f"scipy.sparse.{form}", f"scipy.sparse._{form}"):
            table[module, f"{form}_matrix"] = table[module, f"{form}_array"] = make
    for module in ("copy_reg", "copyreg"):
        table[module, "_reconstructor"] = table[module, "__newobj__"] = _new
    for module in ("__builtin__", "builtins"):
        table |= {(module, "set"): _set, (module, "bytes"): _empty_bytes, (module, "object"): _object}
    table |= {("chumpy.ch", "Ch"): _chumpy, ("chumpy", "Ch"): _chumpy, ("_codecs", "encode"): _encode}
    table["collections", "OrderedDict"] = _ordered_dict
    return table


ALLOWED = _allowed()
