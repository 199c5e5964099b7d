"""Which run made what is recorded: dvc.lock joined with MLflow on the MD5s of inputs and outputs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mfnet.audit.recorded import Step, step_of_run
from mfnet.runs.store import address, all_runs, database


def recorded_runs(root: Path, store: str | None = None) -> list[Step] | None:
    """Steps of all finished runs, newest first; None where the workspace has no store (a fresh clone)."""
    uri = store or address(root)
    path = database(uri)
    if path is not None and not path.is_file():
        return None
    return [step_of_run(run) for run in all_runs(uri) if run.info.status == "FINISHED"]


def origin(step: Step, runs: Sequence[Step]) -> tuple[str, Step | None]:
    """How a step of the lock is recorded, and the run nearest to it.

    ``match``: a run has made exactly these outputs of exactly these inputs; ``other inputs``: the same outputs of
    others; ``no run``: none.
    """
    same = [run for run in runs if run.stage == step.stage and run.outs == step.outs]
    for run in same:
        if run.deps == step.deps:
            return "match", run
    return ("other inputs", same[0]) if same else ("no run", None)


def origins(steps: Mapping[str, Step], runs: Sequence[Step] | None) -> list[dict[str, str]]:
    """Rows stage, path, md5, status (`origin`, or ``runs not here``), run, revision, git.dirty: one per output."""
    rows = []
    for step in steps.values():
        status, run = ("runs not here", None) if runs is None else origin(step, runs)
        made = {"status": status, "run": "", "revision": "", "git.dirty": ""}
        if run is not None:
            made |= {"run": run.run, "revision": run.revision, "git.dirty": run.dirty}
        rows += [{"stage": step.stage, "path": path, "md5": md5} | made for path, md5 in step.outs.items()]
    return rows
