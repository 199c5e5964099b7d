"""A torch file's pickle, walked by our own stack machine before torch's reader gets it.

torch's reader (``weights_only``) builds no foreign names, but nothing bounds it: a key of nested tuples overflows its
stack and ends the process, one tuple many times in another is hashed for ever. Here keys are short and steps counted.
"""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfnet.io.pickle_names import Refused
from mfnet.io.pickles import Budget, Machine

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How files begin that torch wrote before it took to zip."""
_MAX_OPERATIONS = 400_000  # DECA's file has about 60,000
_MAX_PICKLE = 64 << 20
_MODULES = ("torch", "collections", "_codecs")
_DAMAGED = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, EOFError, RecursionError)


class _Stand:
    """Whatever a name would make."""

    def build(self, state: Any, budget: Budget) -> None:
        """Its state is left out."""


def _stand(budget: Budget, *_: Any) -> _Stand:
    return _Stand()


def _ordered_dict(budget: Budget, *_: Any) -> dict:
    return {}


class _AnyName(dict[tuple[str, str], Callable]):
    """Takes every name and remembers it; none is looked up."""

    def __init__(self) -> None:
        super().__init__({("collections", "OrderedDict"): _ordered_dict, ("", ""): _stand})
        self.foreign: set[str] = set()

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: tuple[str, str]) -> Callable:
        if key[0].split(".")[0] not in _MODULES:
            self.foreign.add(".".join(key))
        return _stand


def check_torch_file(path: str | Path) -> None:
    """Raise Refused, with the reason, unless `path` is a torch file whose pickle is plain enough to be read."""
    names = _AnyName()
    try:
        if zipfile.is_zipfile(path):
            _walk(io.BytesIO(_zipped_pickle(path)), names, 1)
        else:
            with open(path, "rb") as file:
                content = file.read(_MAX_PICKLE)
            if not content.startswith(_LEGACY):
                raise Refused("it is of another format" if content else "it is empty")
            _walk(io.BytesIO(content), names, 5)  # magic, version, system, the object, the storages' keys
    except (*_DAMAGED, OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        raise Refused("it is damaged") from None
    if names.foreign:
        raise Refused(f"it asks for {', '.join(sorted(names.foreign))[:200]}")


def _zipped_pickle(path: str | Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):  # they may unpack to any size
            raise Refused("its records are packed, which torch never does")
        record = next((record for record in records if record.filename.endswith("data.pkl")), None)
        if record is None or record.file_size > _MAX_PICKLE:
            raise Refused("it holds no pickle of plain tensors")
        return archive.read(record)


def _walk(stream: io.BytesIO, names: _AnyName, pickles: int) -> None:
    budget = Budget(_MAX_OPERATIONS, 4 * _MAX_PICKLE)
    for _ in range(pickles):
        Machine(budget, names, persistent=_stand_for).run(stream)


def _stand_for(identity: object) -> _Stand:
    return _Stand()
