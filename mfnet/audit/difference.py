"""What differs between two revisions or runs: data by row and key, params, code, metrics."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfnet.audit.recorded import Cache, Step, git, revision_steps, run_named, workspace_steps
from mfnet.tracking import flatten

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 10
"""Keys of rows that stand for a longer list."""
HERE = "."
"""The name of the workspace as it is, beside git's names of revisions."""


@dataclass(frozen=True)
class State:
    """One side of a comparison."""

    name: str
    params: Mapping[str, object]
    """By stage and dotted key, ``stage: key``."""
    data: Mapping[str, str]
    """Outputs of steps: path -> MD5."""
    sources: Mapping[str, str]
    """Inputs that no step made, code above all: path -> MD5."""
    metrics: Mapping[str, float]


def state(name: str, root: Path, metrics: Sequence[str], runs: Sequence[Step]) -> State:
    """A run by (the beginning of) its id, a git revision, or ``.``: the workspace.

    metrics: paths of the metrics files that lie in git. Raises InputError for a name that means nothing.
    """
    if (run := run_named(name, runs)) is not None:
        return _state(name, [run], run.metrics)
    if name == HERE:
        texts = {path: (root / path).read_text(encoding="utf-8") for path in metrics if (root / path).is_file()}
        return _state(name, list(workspace_steps(root).values()), _figures(texts))
    steps = list(revision_steps(root, name).values())
    listed = set(git(root, "ls-tree", "-r", "--name-only", name).splitlines())
    texts = {path: git(root, "show", f"{name}:./{path}") for path in metrics if path in listed}
    return _state(name, steps, _figures(texts))


def _state(name: str, steps: Sequence[Step], metrics: Mapping[str, float]) -> State:
    data = {path: md5 for step in steps for path, md5 in step.outs.items()}
    inputs = {path: md5 for step in steps for path, md5 in step.deps.items()}
    params = {f"{step.stage}: {key}": str(value) for step in steps for key, value in step.params.items()}
    return State(name, params, data, {path: inputs[path] for path in inputs.keys() - data.keys()}, metrics)


def _figures(texts: Mapping[str, str]) -> dict[str, float]:
    """Numbers of metrics files by ``path: dotted name``."""
    return {
        f"{path}: {name}": value
        for path, text in texts.items()
        for name, value in flatten(json.loads(text)).items()
        if isinstance(value, int | float)
    }


def difference(a: State, b: State, cache: Cache) -> dict[str, list[dict]]:
    """Tables ``data``, ``rows``, ``params``, ``code``, ``metrics``: what `b` has in place of `a`'s."""
    data, rows = [], []
    for path, old, new in _changes(a.data, b.data):
        data.append({"path": path, "change": _change(old, new), a.name: old or "", b.name: new or ""})
        rows += _inside(path, old, new, cache)
    metrics = [
        {"metric": name, a.name: old, b.name: new, "change": None if old is None or new is None else new - old}
        for name, old, new in _changes(a.metrics, b.metrics)
    ]
    return {
        "data": data,
        "rows": rows,
        "params": [{"param": name, a.name: old, b.name: new} for name, old, new in _changes(a.params, b.params)],
        "code": [{"path": path, a.name: old, b.name: new} for path, old, new in _changes(a.sources, b.sources)],
        "metrics": metrics,
    }


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(name, old, new) of what differs; None where a side has no such name."""
    return [(name, a.get(name), b.get(name)) for name in sorted({*a, *b}) if a.get(name) != b.get(name)]


def _change(old: object, new: object) -> str:
    return "added" if old is None else "removed" if new is None else "changed"


def _inside(path: str, old: str | None, new: str | None, cache: Cache) -> list[dict]:
    """What differs inside a changed output: files of a folder, rows of a table."""
    if old is None or new is None:
        return []
    if old.endswith(".dir") and new.endswith(".dir"):
        a, b = cache.files(old), cache.files(new)
        if a is None or b is None:
            return [_note(path, "a version is not in the cache: dvc fetch --all-commits")]
        rows = []
        for name, before, after in _changes(a, b):
            inner = _inside(f"{path}/{name}", before, after, cache)
            rows += inner or [_note(f"{path}/{name}", _change(before, after))]
        return rows
    if Path(path).suffix != ".parquet":
        return []
    if not (cache.path(old).is_file() and cache.path(new).is_file()):
        return [_note(path, "a version is not in the cache: dvc fetch --all-commits")]
    import pandas as pd
    from pyarrow import ArrowInvalid

    try:
        tables = [pd.read_parquet(cache.path(md5)) for md5 in (old, new)]
    except (ArrowInvalid, OSError) as error:
        return [_note(path, f"not a readable table: {' '.join(str(error).split())[:100]}")]
    return row_changes(path, *tables)


def _note(path: str, change: str) -> dict:
    return {"path": path, "key": "", "change": change, "count": 1, "rows": ""}


def row_changes(path: str, a: "pd.DataFrame", b: "pd.DataFrame") -> list[dict]:
    """Rows path, key (the columns that name a row), change (added, removed, changed, or of columns), count, rows."""
    from pandas.api.types import is_float_dtype

    result = [
        _note(path, f"column {name} {_change(name in a.columns or None, name in b.columns or None)}")
        for name in sorted({*a.columns} ^ {*b.columns})
    ]
    shared = [name for name in a.columns if name in b.columns]
    measured = {name for name in shared if is_float_dtype(a[name]) or is_float_dtype(b[name])}
    a, b = a.loc[:, shared].map(_plain), b.loc[:, shared].map(_plain)
    key = _key(a, b, [name for name in shared if name not in measured])
    if key is None:
        before, after = a.value_counts(), b.value_counts()
        gone, came = (before.sub(after, fill_value=0).clip(lower=0), after.sub(before, fill_value=0).clip(lower=0))
        counts = {"removed": int(gone.sum()), "added": int(came.sum())}
        return result + [_note(path, change) | {"count": count} for change, count in counts.items() if count]
    a, b = a.set_index(key), b.set_index(key)
    both = a.index.intersection(b.index)
    differs = (a.loc[both] != b.loc[both]).any(axis=1) if len(a.columns) else None
    found = {
        "removed": a.index.difference(b.index),
        "added": b.index.difference(a.index),
        "changed": both[:0] if differs is None else both[differs.to_numpy()],
    }
    for change, names in found.items():
        if len(names):
            rows = [name if isinstance(name, tuple) else (name,) for name in names[:SHOWN].tolist()]
            shown = "; ".join(", ".join(map(str, row)) for row in rows) + (" ..." if len(names) > SHOWN else "")
            result.append({"path": path, "key": ", ".join(key), "change": change, "count": len(names), "rows": shown})
    return result


def _key(a: "pd.DataFrame", b: "pd.DataFrame", names: list[str]) -> list[str] | None:
    """The least of the columns `names`, from the left, that name each row of both tables; None: no such."""
    for count in range(1, len(names) + 1):
        for table in (a, b):
            if table.duplicated(names[:count]).any():
                break
        else:
            return names[:count]
    return None


def _plain(value: object) -> object:
    """A cell that can be compared and counted: floats and arrays as text, for NaN differs from itself."""
    if isinstance(value, float):
        return repr(value)
    return repr(value.tolist()) if isinstance(value, np.ndarray) else value
