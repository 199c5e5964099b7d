"""What was found out about each file of an archive, kept from one run to the next.

A finding holds as long as the file's path, size and times of change (content and inode) do. So a second run reads only
what is new or changed, and a killed one goes on: every chunk's findings are a file, written beside and renamed; they
are gathered into one when later ones come. What lies in the folder can be thrown away at any time.
"""

import gc
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mfnet.compute.executor import Compute
from mfnet.io.code import code_hash
from mfnet.io.files import atomic_path
from mfnet.io.walk import below

SIGNATURE = ("size", "mtime", "ctime")
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        *((name, pa.int64()) for name in SIGNATURE),
        ("checksum", pa.string()),
        ("reason", pa.string()),
    ]
)
"""One row a file. size in bytes, times in ns; 0 where the file cannot be opened. reason: why it cannot be used, null in
a good one's; checksum: of a good one."""

Names = list[tuple[str, list[str]]]
"""Folders relative to a root, each with names of files in it."""
Check = Callable[[Names], pa.Table]
"""Looks at files and says in rows of SCHEMA, in their order, what they are. Must pickle."""


@dataclass(frozen=True)
class Search:
    """What is looked at, how, and where it runs."""

    root: str
    check: Check
    chunk: int
    """Files per unit of work."""
    compute: Compute


def findings_key(root: Path, look: object, *modules: str) -> str:
    """Name of the folder for what else findings depend on: root, how files are looked at, code of `mfnet.datasets`."""
    names = [*(f"datasets/{name}" for name in (*modules, "seen")), "io/images", "io/files", "io/ends"]
    code = code_hash(*(f"{name}.py" for name in names))
    return hashlib.sha256(f"{root.absolute()} {look} {code}".encode()).hexdigest()[:16]


def findings(files: Names, search: Search, kept: str | Path | None = None) -> pa.Table:
    """Rows of SCHEMA for `files`, in their order: from the folder `kept`, or found now and kept there."""
    if kept is None:
        return _all(search, search.check, files)
    before = _read(Path(kept))
    check = _Keep(search.check, str(kept))
    if before.num_rows == 0:
        return _all(search, check, files)
    where = _known(files, before, search)
    new = _all(search, check, those(files, where < 0))
    at = np.empty(len(where), np.int64)
    at[where >= 0] = where[where >= 0]
    at[where < 0] = before.num_rows + np.arange(new.num_rows)
    table = pa.concat_tables([before, new]).take(at)
    if new.num_rows:
        _gather(table, Path(kept))
    return table


def _all(search: Search, check: Check, files: Names) -> pa.Table:
    parts = search.compute.map(check, list(_chunks(files, search.chunk)), "scan")
    return pa.concat_tables([SCHEMA.empty_table(), *parts])


def _chunks(files: Names, size: int) -> Iterator[Names]:
    """`files` in pieces of some `size` names; a folder is never cut, unless it holds more by itself."""
    chunk, count = [], 0
    for folder, names in files:
        for start in range(0, len(names), size):
            piece = names[start : start + size]
            if chunk and count + len(piece) > size:
                yield chunk
                chunk, count = [], 0
            chunk.append((folder, piece))
            count += len(piece)
    if chunk:
        yield chunk


def paths_of(files: Names) -> list[str]:
    """Every path of `files`, in their order."""
    paths = []
    for folder, names in files:
        start = below(folder, "")
        paths += [start + name for name in names]
    return paths


def those(files: Names, wanted: np.ndarray) -> Names:
    """The files of which `wanted` (bool, one a name, in order) is true."""
    if wanted.all():
        return files
    starts = accumulate((len(names) for _, names in files), initial=0)
    chosen = [
        (folder, [names[i] for i in np.flatnonzero(wanted[start : start + len(names)])])
        for (folder, names), start in zip(files, starts, strict=False)
    ]
    return [(folder, names) for folder, names in chosen if names]


@contextmanager
def no_collection() -> Iterator[None]:
    """Without the search for cycles: among millions of small objects that have none it takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# ------------------------------------------------------------------------------------------------------ kept findings
@dataclass(frozen=True)
class _Keep:
    """The check, and its findings in a file of their own."""

    check: Check
    folder: str

    def __call__(self, files: Names) -> pa.Table:
        table = self.check(files)
        name = hashlib.sha256("\0".join(paths_of(files)).encode()).hexdigest()[:32]
        _write(table, Path(self.folder, f"{name}.parquet"))
        return table


def _write(table: pa.Table, path: Path) -> None:
    with atomic_path(path) as beside:
        pq.write_table(table, beside, compression="zstd", use_dictionary=False, write_statistics=False)


def _read(folder: Path) -> pa.Table:
    """All findings, one a path, the newest. A file that cannot be read is one that is not there."""
    parts = [SCHEMA.empty_table()]
    for file in sorted(folder.glob("*.parquet"), key=lambda file: file.stat().st_mtime_ns, reverse=True):
        try:
            parts.append(pq.read_table(file).cast(SCHEMA))
        except (OSError, ValueError):  # pyarrow's errors are of these kinds
            file.unlink()
    table = pa.concat_tables(parts)
    first = ~pd.Series(table["path"].to_pandas()).duplicated().to_numpy() if len(parts) > 2 else None
    return table if first is None or first.all() else table.filter(pa.array(first))


def _gather(table: pa.Table, folder: Path) -> None:
    old = set(folder.glob("*.parquet"))
    gathered = folder / "gathered.parquet"
    _write(table, gathered)
    for file in old - {gathered}:
        file.unlink(missing_ok=True)


def _known(files: Names, before: pa.Table, search: Search) -> np.ndarray:
    """[N] row of `before` that still holds for each file, -1 where none does."""
    parts = search.compute.map(partial(_signatures, search.root), list(_chunks(files, search.chunk)), "compare")
    now = np.concatenate([np.empty((0, 3), np.int64), *parts])
    where = pd.Index(before["path"].to_pandas()).get_indexer(pd.Index(paths_of(files), dtype="str"))
    then = np.stack([before[name].to_numpy() for name in SIGNATURE], 1)
    holds = (where >= 0) & (then[where] == now).all(1) & (now[:, 1] != 0)
    return np.where(holds, where, -1)


def _signatures(root: str, files: Names) -> np.ndarray:
    """[N, 3] SIGNATURE of each file, 0 where there is none."""
    rows = []
    for folder, names in files:
        place = os.path.join(root, folder)
        rows += [signature(os.path.join(place, name)) for name in names]
    return np.array(rows, np.int64).reshape(-1, 3)


def signature(path: str) -> tuple[int, int, int]:
    """SIGNATURE of a file, 0 where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0, 0
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
