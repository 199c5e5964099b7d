"""The whole audit in one call: outputs, versions, params, code, lock and runs against their record."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mfnet.audit.damage import Finding, damage
from mfnet.audit.origins import origins
from mfnet.audit.recorded import Step, workspace_steps

if TYPE_CHECKING:
    from dvc.repo import Repo


def held_against_record(
    repo: "Repo", root: Path, runs: Sequence[Step] | None
) -> tuple[list[dict[str, str]], list[Finding]]:
    """Every output with the run that made it (`mfnet.audit.origins`), and all that is not as recorded.

    runs: of `recorded_runs`; None where the workspace has no store, and no run is missed then.
    """
    steps = workspace_steps(root)
    found = damage(repo, steps)
    rows = origins(steps, runs)
    for stage in dict.fromkeys(row["stage"] for row in rows if row["status"] in ("no run", "other inputs")):
        detail = next(row["status"] for row in rows if row["stage"] == stage)
        found.append(Finding(stage, "mlflow", "run", f"{detail} in the store", f"dvc repro -f {stage}"))
    return rows, found


def told(found: Sequence[Finding]) -> str:
    """One line on what was found: how much, and the first; nothing where all is as recorded."""
    if not found:
        return ""
    first = found[0]
    said = f"{first.stage}: {first.path}: {first.kind}: {first.detail}"
    return f"{len(found)} things are not as recorded, the first: {said}; {first.remedy}"
