"""A pickle reader that can only build numbers, text and containers.

Python's own unpickler calls what a file names and takes the memory that it declares. This one walks the opcodes itself:
the few names in `pickle_names` stand for our own small functions, everything else is refused by its name, and both the
number of operations and the bytes that they produce are bounded by the file's size.
"""

import io
import math
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mfnet.errors import InputError
from mfnet.io.npz import read_npy_header
from mfnet.io.pickle_names import ALLOWED, PickledArray, Refused, resolve

_MAX_OPERATIONS = 50_000  # FLAME's own files have some hundreds
_MAX_KEY = 256
_MAX_ARGUMENTS = 16
_SMALL_INTEGER = 1 << 63
_DAMAGED = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, EOFError, struct.error)


def read_pickle(data: bytes, path: str | Path, allowed: dict = ALLOWED) -> object:
    """The value pickled in `data`: containers, numbers and text; arrays as `pickle_names` describes them.

    allowed: (module, name) -> the function of ours that stands for it.

    Raises InputError naming `path` for a name that is not allowed, and for damaged or oversized data.
    """
    machine = Machine(Budget(_MAX_OPERATIONS, 4 * len(data) + (1 << 20)), allowed)
    stream = io.BytesIO(data)
    try:
        return machine.run(stream)
    except Refused as error:
        raise InputError(f"{path}: {error}; the file was refused") from None
    except _DAMAGED as error:
        reason = " ".join(str(error)[:200].split())
        raise InputError(
            f"{path}: not a whole, valid pickle (at byte {stream.tell()}: {reason}); copy it again"
        ) from None


def parse_npy(data: bytes, path: str | Path, allowed: dict = ALLOWED) -> object:
    """The content of an .npy file's bytes: an array, or of a pickled object array with one item that item.

    allowed: as `read_pickle` takes it. Raises InputError naming `path` for what that refuses, and for data that is not
    as long as the header says.
    """
    stream, where = io.BytesIO(data), f"{path}: the array"
    shape, fortran, dtype = read_npy_header(stream, where, kinds="fiubUO")
    content = data[stream.tell() :]
    if not dtype.hasobject:
        if math.prod(shape) * dtype.itemsize != len(content):
            raise InputError(f"{where} does not hold the data that it declares; copy the file again")
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    value = read_pickle(content, path, allowed)
    items = value.items if isinstance(value, PickledArray) else None
    if items is None or len(items) != math.prod(shape):
        raise InputError(f"{where} does not hold the objects that it declares; copy the file again")
    if len(items) == 1:
        return resolve(items[0])
    objects = np.empty(len(items), object)
    for place, item in enumerate(items):
        objects[place] = resolve(item)
    return objects.reshape(shape)


class Budget:
    """What a file may still cost."""

    def __init__(self, operations: int, produced: int) -> None:
        self.operations = operations
        self.produced = produced

    def step(self) -> None:
        """Count one operation."""
        self.operations -= 1
        if self.operations < 0:
            raise Refused("more pickle operations than any such file needs")

    def spend(self, size: int) -> None:
        """Count `size` bytes that a call produces out of bytes already there."""
        self.produced -= size
        if self.produced < 0:
            raise Refused("unpacks to far more than its size")


class Machine:
    """The stack machine of the pickle format, protocols 0 to 5, without classes and calls of the file's choosing."""

    def __init__(self, budget: Budget, allowed: dict = ALLOWED, persistent: Callable | None = None) -> None:
        self.budget = budget
        self.allowed = allowed
        self.persistent = persistent

    def run(self, stream: io.BytesIO) -> Any:
        """Read one pickle from `stream`, leaving it behind the pickle's end."""
        self.stack: list = []
        self.marks: list[list] = []
        self.memo: dict[int, object] = {}
        for opcode, argument, _ in pickletools.genops(stream):
            self.budget.step()
            if opcode.name == "STOP":
                return self.stack.pop()
            operation = _OPERATIONS.get(opcode.name)
            if operation is None:
                raise Refused(f"uses the pickle operation {opcode.name}, which no head model needs")
            operation(self, argument)
        raise ValueError("no end")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop_marked(self) -> list:
        """Everything above the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def mark(self, _: object) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def pop(self, _: object) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_marked()

    def name(self, module: object, name: object) -> None:
        """Push what stands for `module.name`."""
        if not (isinstance(module, str) and isinstance(name, str) and len(module) + len(name) < _MAX_KEY):
            raise ValueError("a global without a name")
        if (module, name) not in self.allowed:
            raise Refused(f"asks for '{module}.{name}', which is not among the names that a head model needs")
        self.push(self.allowed[module, name])

    def stack_global(self, _: object) -> None:
        name = self.stack.pop()
        self.name(self.stack.pop(), name)

    def call(self, _: object) -> None:
        """REDUCE and NEWOBJ: the callable is always one of our own."""
        arguments = self.stack.pop()
        function = self.stack.pop()
        ours = any(function is known for known in self.allowed.values())
        if not ours or not isinstance(arguments, tuple) or len(arguments) > _MAX_ARGUMENTS:
            raise ValueError("a call of something that is not callable")
        self.push(function(self.budget, *arguments))

    def build(self, _: object) -> None:
        state = self.stack.pop()
        if type(self.stack[-1]) is not dict:  # attributes of an ordered dictionary are left out
            self.stack[-1].build(state, self.budget)

    def append(self, _: object) -> None:
        value = self.stack.pop()
        _list(self.stack[-1]).append(value)

    def append_marked(self, _: object) -> None:
        items = self.pop_marked()
        _list(self.stack[-1]).extend(items)

    def set_item(self, _: object) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _dict(self.stack[-1])[_key(key)] = value

    def set_items(self, _: object) -> None:
        items = self.pop_marked()
        target = _dict(self.stack[-1])
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def dict_marked(self, _: object) -> None:
        items = self.pop_marked()
        self.push({_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)})

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError("a tuple of more than there is")
        items = [self.stack.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def put(self, index: int) -> None:
        self.memo[int(index)] = self.stack[-1]

    def get(self, index: int) -> None:
        self.push(self.memo[int(index)])

    def persistent_id(self, _: object) -> None:
        if self.persistent is None:
            raise Refused("refers to data outside of itself")
        self.push(self.persistent(self.stack.pop()))


def _list(value: object) -> list:
    if type(value) is not list:
        raise ValueError("items for something that is not a list")
    return value


def _dict(value: object) -> dict:
    if type(value) is not dict:
        raise ValueError("items for something that is not a dict")
    return value


def _key(value: Any) -> str | int:
    """A dict key, short: hashing and comparing must not cost more than reading does."""
    if type(value) in (str, bytes) and len(value) <= _MAX_KEY:
        return value if isinstance(value, str) else value.decode("latin-1")
    if type(value) is int and -_SMALL_INTEGER <= value < 2 * _SMALL_INTEGER:
        return value
    raise ValueError("a dict key that is neither a short text nor a number")


def _value(machine: Machine, argument: object) -> None:
    machine.push(argument)


def _constant(value: object) -> Callable:
    return lambda machine, _: machine.push(value)


def _table() -> dict[str, Callable]:
    """Operation of each opcode name; sets are kept as lists, so that nothing is ever hashed but dict keys."""
    values = "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE "
    values += "BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
    table: dict[str, Callable] = dict.fromkeys(values.split(), _value)
    table |= dict.fromkeys(["PROTO", "FRAME"], lambda machine, _: None)
    table |= {"NONE": _constant(None), "NEWTRUE": _constant(True), "NEWFALSE": _constant(False)}
    table |= {"EMPTY_TUPLE": _constant(())}
    table |= dict.fromkeys(["EMPTY_LIST", "EMPTY_SET"], lambda machine, _: machine.push([]))
    table |= {"EMPTY_DICT": lambda machine, _: machine.push({}), "DICT": Machine.dict_marked}
    table |= dict.fromkeys(["LIST", "FROZENSET"], lambda machine, _: machine.push(machine.pop_marked()))
    table |= {"TUPLE": lambda machine, _: machine.push(tuple(machine.pop_marked()))}
    table |= {f"TUPLE{n}": lambda machine, _, n=n: machine.tuple_of(n) for n in (1, 2, 3)}
    table |= {"MARK": Machine.mark, "POP": Machine.pop, "POP_MARK": lambda machine, _: machine.pop_marked()}
    table |= {"DUP": lambda machine, _: machine.push(machine.stack[-1])}
    table |= dict.fromkeys(["APPENDS", "ADDITEMS"], Machine.append_marked)
    table |= {"APPEND": Machine.append, "SETITEM": Machine.set_item, "SETITEMS": Machine.set_items}
    table |= dict.fromkeys(["PUT", "BINPUT", "LONG_BINPUT"], Machine.put)
    table |= {"MEMOIZE": lambda machine, _: machine.put(len(machine.memo))}
    table |= dict.fromkeys(["GET", "BINGET", "LONG_BINGET"], Machine.get)
    table |= {"GLOBAL": lambda machine, text: machine.name(*text.split(" ", 1)), "STACK_GLOBAL": Machine.stack_global}
    table |= dict.fromkeys(["REDUCE", "NEWOBJ"], Machine.call)
    table |= {"BUILD": Machine.build, "BINPERSID": Machine.persistent_id}
    return table


_OPERATIONS = _table()
