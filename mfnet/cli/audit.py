"""``mfnet audit`` and ``mfnet verify``: what is as recorded, and where it came from; whether the cache is intact."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from mfnet.audit.hashing import file_md5
from mfnet.errors import InputError

CACHE = Path(".dvc/cache/files/md5")


def damaged_objects(cache: str | Path = CACHE) -> tuple[list[Path], int]:
    """Objects of a DVC cache whose bytes no longer hash to their name, and how many were looked at.

    DVC itself trusts read-only objects without reading them, so that a flipped byte passes `dvc status`.

    Raises InputError where there is no cache.
    """
    cache = Path(cache)
    if not cache.is_dir():
        raise InputError(f"{cache}: no DVC cache; run this in the folder of dvc.yaml, after `dvc repro`")
    objects = sorted(path for path in cache.glob("*/*") if path.is_file())
    damaged = []
    for path in tqdm(objects, desc="cache", disable=None):
        if file_md5(path) != path.parent.name + path.name.removesuffix(".dir"):
            damaged.append(path)
    return damaged, len(objects)


def audit(
    what: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Run id or stage: where all that is in it came from.")
    ] = None,
    diff: Annotated[
        tuple[str, str] | None, typer.Option(help="What differs between two revisions or runs (`.`: the workspace).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, with every file of every folder.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Markdown.")] = False,
    lock: Annotated[
        Path | None, typer.Option(help="The dvc.lock of another machine, with its metrics files beside it.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="MLflow tracking URI.", show_default="MLFLOW_TRACKING_URI, else mlflow.db")
    ] = None,
) -> None:
    """Hold everything against its record: outputs, cache, params, code, lock, runs; nothing is believed unread.

    Exit status 1 if anything is not as recorded. Without a store (a fresh clone) the runs alone are left out. With RUN:
    back to every file; with --diff: data by row and key, params, code, metrics; with --lock: whether another machine
    made the same of the same code and params, data to the byte, networks by their figures.
    """
    from mfnet.audit import difference, lineage, machines
    from mfnet.audit.everything import held_against_record, told
    from mfnet.audit.origins import recorded_runs
    from mfnet.audit.pages import rendered
    from mfnet.audit.recorded import cache_of, holds_figures, opened, workspace_steps

    if sum(asked is not None for asked in (what, diff, lock)) > 1:
        raise InputError("RUN, --diff and --lock are questions of their own; ask one")
    form = "json" if as_json else "markdown" if as_markdown else "text"
    root = Path.cwd()
    if lock is not None:
        stages = machines.compared(root, workspace_steps(root), lock.parent, machines.read_lock(lock))
        print(rendered({"stages": stages}, form))
        first = next((row["stage"] for row in stages if row["verdict"] != machines.EQUAL), "none: all are equal")
        print(f"\nfirst stage that differs: {first}", file=sys.stderr)
        if any(row["verdict"] not in machines.FINE for row in stages):
            raise InputError(f"{lock}: not the same; the table has the stages")
        return
    with opened(root) as repo:
        runs = recorded_runs(root, store)
        if diff is not None:
            metrics = [out.def_path for out in repo.index.outs if holds_figures(out)]
            a, b = (difference.state(name, root, metrics, runs or []) for name in diff)
            print(rendered(difference.difference(a, b, cache_of(repo)), form))
            return
        if what is not None:
            steps = workspace_steps(root)
            last = lineage.chosen(what, steps, runs or [])
            print(rendered(lineage.lineage_report(last, steps, runs or [], cache_of(repo), as_json), form))
            return
        rows, found = held_against_record(repo, root, runs)
        print(rendered({"outputs": rows, "findings": [each._asdict() for each in found]}, form))
    if found:
        raise InputError(told(found))


def verify() -> None:
    """Read every object of the DVC cache and compare it with its hash; exit status 1 if one is damaged."""
    damaged, count = damaged_objects()
    if damaged:
        names = ", ".join(map(str, damaged[:5])) + (" ..." if len(damaged) > 5 else "")
        raise InputError(f"{len(damaged)} of {count} cached objects are damaged: {names}; delete them, `dvc repro`")
    print(f"{count} cached objects are what their names say")
