"""Whether two machines made the same of the same code and params: data to the last byte, networks by their figures."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from mfnet.audit.recorded import LOCK, Step, steps_of_lock
from mfnet.errors import InputError
from mfnet.tracking import flatten

DATA_STAGES = ("head", "capture", "ingest", "plan")
"""Stages whose outs are the same bytes on every x86-64 machine with AVX2 (`mfnet.compute.portable`)."""
RELATIVE, ABSOLUTE = 0.05, 0.02
"""How far a figure of a stage with a network may lie from another machine's: the larger of a share of it and a fixed
distance in its own unit (mm, pixels, shares). Networks follow the last bits of their sums."""
EQUAL, FOLLOWS, WITHIN = "equal", "differs as its inputs do", "figures within tolerance"
FINE = (EQUAL, FOLLOWS, WITHIN)
"""Verdicts that need nobody's attention."""


def read_lock(path: Path) -> dict[str, Step]:
    """The steps of another machine's dvc.lock. Raises InputError for a file that is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); --lock wants the {LOCK} of another workspace") from None
    try:
        steps = steps_of_lock(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if not steps:
        raise InputError(f"{path}: no stages in it; --lock wants the {LOCK} of another workspace")
    return steps


def compared(here: Path, mine: Mapping[str, Step], there: Path, theirs: Mapping[str, Step]) -> list[dict]:
    """A row for each stage, in the order of the first lock: stage, verdict (`FINE` or not), what there is to it.

    here, there: the folders of the two locks, which hold the metrics files that DVC leaves to git.
    """
    made = {path for step in (*mine.values(), *theirs.values()) for path in step.outs}
    rows = []
    for stage in [*mine, *(stage for stage in theirs if stage not in mine)]:
        if stage not in mine or stage not in theirs:
            verdict, detail = "missing", f"not in the {'first' if stage not in mine else 'second'} lock"
        else:
            verdict, detail = _stage(stage, mine[stage], theirs[stage], (here, there), made)
        rows.append({"stage": stage, "verdict": verdict, "detail": detail})
    return rows


def _stage(stage: str, a: Step, b: Step, folders: tuple[Path, Path], made: set[str]) -> tuple[str, str]:
    """(verdict, detail) of one stage. made: paths that stages write; what else goes in is code and foreign data."""
    changed = [name for name in sorted({*a.params, *b.params}) if a.params.get(name) != b.params.get(name)]
    sources = {path for path in _changed(a.deps, b.deps) if path not in made}
    if changed or sources:
        return "other code or params", ", ".join([*changed, *sorted(sources)])
    differ = _changed(a.outs, b.outs)
    if not differ:
        return EQUAL, ""
    base = stage.partition("@")[0]
    if base in DATA_STAGES:
        return "data differ", ", ".join(differ)
    metrics = [path for path in a.outs if Path(path).suffix == ".json"]
    if not metrics:
        follows = bool(_changed(a.deps, b.deps))
        return (FOLLOWS, "") if follows else ("differs from equal inputs", ", ".join(differ))
    figures = [_figures(folder, metrics) for folder in folders]
    distance, name = _farthest(*figures)
    told = f"{name}: {figures[0].get(name)} and {figures[1].get(name)}"
    return (WITHIN if distance <= 1 else "figures beyond tolerance"), told


def _changed(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    return [path for path in sorted({*a, *b}) if a.get(path) != b.get(path)]


def _figures(folder: Path, paths: list[str]) -> dict[str, float]:
    """Numbers of metrics files by dotted name. Raises InputError for a file that is missing or no JSON object."""
    figures: dict[str, float] = {}
    for path in paths:
        try:
            values = flatten(json.loads((folder / path).read_text(encoding="utf-8")))
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{folder / path}: cannot be read ({' '.join(str(error).split())[:100]}); the metrics files that git "
                f"keeps must lie beside each {LOCK}"
            ) from None
        figures |= {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
    return figures


def _farthest(a: Mapping[str, float], b: Mapping[str, float]) -> tuple[float, str]:
    """(distance in tolerances, name) of the figure that differs most; infinity where one side has none."""
    worst = (0.0, "")
    for name in sorted({*a, *b}):
        if name not in a or name not in b:
            return math.inf, name
        worst = max(worst, (abs(a[name] - b[name]) / max(RELATIVE * max(abs(a[name]), abs(b[name])), ABSOLUTE), name))
    return worst
