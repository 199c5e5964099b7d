"""Writing artifacts: beside first, then renamed: a killed process never leaves a half file that passes for whole."""

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfnet.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes `path`'s place if the block ends well and is removed if not.

    Raises InputError, which names `path`, where its disk is full or it may not be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    with refusals_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            os.replace(beside, path)
        finally:
            with suppress(OSError):  # what the block raised says more
                beside.unlink()


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; it replaces `path` whole if the block ends well and is removed if not.

    Raises InputError as `atomic_path` does.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with refusals_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        try:
            yield beside
            shutil.rmtree(path, ignore_errors=True)
            os.replace(beside, path)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def refusals_named(path: Path) -> Iterator[None]:
    """Raise InputError, which names `path`, where the block cannot write it, or beside it, for want of room or of
    leave; errors of other files that the block opens are left as they are."""
    try:
        yield
    except OSError as error:
        # What is written beside begins so; pyarrow's errors have it in their text alone.
        here = f".{path.name}." in str(error) or Path(str(error.filename)) in (path, *path.parents)
        if error.errno in _NO_ROOM:
            raise InputError(f"{path}: cannot be written ({os.strerror(error.errno)}); make room on its disk") from None
        if error.errno in _NOT_ALLOWED and here:
            raise InputError(
                f"{path}: cannot be written ({os.strerror(error.errno)}); let this user write to {path.parent}"
            ) from None
        raise


class MissingFile(InputError):
    """There is no such file."""


class TooLarge(InputError):
    """A file larger than anything of its kind."""


def read_bytes(path: str | Path, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes.

    Raises `MissingFile`, `TooLarge`, or InputError where it is no regular file (a pipe has no end) or cannot be read.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: not a file")
        content = b""
        if status.st_size <= limit:
            with open(path, "rb") as file:
                content = file.read(limit + 1)  # it may grow meanwhile
    except FileNotFoundError:
        raise MissingFile(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if max(status.st_size, len(content)) > limit:
        size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit} bytes"
        raise TooLarge(f"{path}: larger than {size}, more than any file of its kind")
    return content


def parse_json(text: str | bytes, where: str | Path) -> Any:
    """The value of a JSON text from outside. Raises InputError, which names `where`, for anything else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # nested a thousand deep, it overflows the parser
        raise InputError(f"{where}: not JSON ({' '.join(str(error).split())[:120]})") from None


def read_json(path: str | Path, limit: int = 1 << 20) -> Any:
    """The value in a JSON file of at most `limit` bytes. Raises InputError as `read_bytes` and `parse_json` do."""
    return parse_json(read_bytes(path, limit), path)


def write_json(value: object, path: str | Path) -> None:
    """Write `value` as JSON with sorted keys and a final newline; NaN is refused (JSON has none: use None)."""
    with atomic_path(path) as beside:
        beside.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def write_table(table: "pd.DataFrame", path: str | Path) -> None:
    """Write a table as Parquet without an index: equal tables give equal bytes."""
    with atomic_path(path) as beside:
        table.to_parquet(beside, index=False, compression="zstd")


def read_table(path: str | Path, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a Parquet table or some of its columns; raises InputError where it is missing, damaged or lacks a column."""
    import pandas as pd  # late: slow to import, and most that is read is no table

    try:
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that writes it") from None
    except Exception as error:  # pyarrow and pandas raise many kinds for damaged files
        raise InputError(f"{path}: not a readable Parquet table: {' '.join(str(error).split())[:200]}") from None


def file_hash(path: str | Path) -> str:
    """SHA-256 (hex) of a file. Raises InputError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); run the stage that writes it") from None
