"""From one run or stage back to where everything in it came from."""

from collections.abc import Mapping, Sequence

from mfnet.audit.origins import origin
from mfnet.audit.recorded import Cache, Step, run_named
from mfnet.errors import InputError


def chosen(name: str, steps: Mapping[str, Step], runs: Sequence[Step]) -> Step:
    """The step that `name` means: a run by its id or the beginning of it, or a stage by its address (of the lock).

    Raises InputError for a name that means nothing or several runs.
    """
    if name in steps:
        status, run = origin(steps[name], runs)
        return run if run is not None and status == "match" else steps[name]
    if (run := run_named(name, runs)) is not None:
        return run
    raise InputError(f"{name}: no finished run has this id, and no stage of dvc.lock this name: {', '.join(steps)}")


def lineage(last: Step, steps: Mapping[str, Step], runs: Sequence[Step]) -> tuple[list[Step], dict[str, str]]:
    """Every step that `last` stands on, itself first, and path -> MD5 of what none of them made: code and raw files.

    A step is known from a run or, where none has recorded it, from the lock.
    """
    makers: dict[tuple[str, str], Step] = {}
    for step in (*steps.values(), *reversed(runs)):  # the newest run wins, any run before the lock
        makers |= dict.fromkeys(step.outs.items(), step)
    order, sources, waiting = [], {}, [last]
    while waiting:
        step = waiting.pop(0)
        if step in order:
            continue
        order.append(step)
        for path, md5 in step.deps.items():
            inside = [] if (path, md5) in makers else _inside(path, steps, runs)
            if (path, md5) in makers:
                waiting.append(makers[path, md5])
            elif inside:
                waiting += inside
            else:
                sources[path] = md5
    return order, sources


def _inside(folder: str, steps: Mapping[str, Step], runs: Sequence[Step]) -> list[Step]:
    """Steps of the lock, by their runs where there are such, whose outputs lie in a folder that is an input as a whole.

    The lock alone says what lies in it: behind an older run they may be younger than what it has read.
    """
    return [
        chosen(name, steps, runs) for name, step in steps.items() if any(p.startswith(f"{folder}/") for p in step.outs)
    ]


def versions(paths: Mapping[str, str], cache: Cache, files: bool) -> list[dict[str, object]]:
    """Rows path, md5, of everything in `paths`; with `files`, of each file in its folders too."""
    rows: list[dict[str, object]] = []
    for path, md5 in sorted(paths.items()):
        inside = cache.files(md5) if md5.endswith(".dir") else {}
        rows.append({"path": path, "md5": md5, "files": "not in the cache" if inside is None else len(inside) or 1})
        if files and inside:
            rows += [{"path": f"{path}/{name}", "md5": each, "files": 1} for name, each in sorted(inside.items())]
    return rows


def lineage_report(
    last: Step, steps: Mapping[str, Step], runs: Sequence[Step], cache: Cache, files: bool
) -> dict[str, list[dict]]:
    """Tables ``steps``, ``made on the way`` (every version), ``sources`` (what no step made: code and raw files)."""
    order, sources = lineage(last, steps, runs)
    rows = [
        {
            "stage": step.stage,
            "run": step.run or "(dvc.lock)",
            "revision": step.revision,
            "git.dirty": step.dirty,
            "command": step.command,
        }
        for step in order
    ]
    made = {path: md5 for step in order for path, md5 in step.outs.items()}
    params = [{"stage": step.stage, "key": key, "value": value} for step in order for key, value in step.params.items()]
    return {
        "steps": rows,
        "made on the way": versions(made, cache, files),
        "sources": versions(sources, cache, files),
        "params": params,
    }
