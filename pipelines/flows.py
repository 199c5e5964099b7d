"""The flows: the DAG of dvc.yaml or parts of it, and the audit. They work in the folder in which they are started."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

import pipelines  # noqa: F401  (sets Prefect's environment before its first import)

from prefect import flow, get_run_logger  # isort: skip
from prefect.artifacts import create_link_artifact, create_table_artifact  # isort: skip
from prefect.runtime import deployment  # isort: skip
from prefect.states import Completed, Failed  # isort: skip

from mfnet.errors import InputError
from pipelines.dvc_stages import Dag, order_lock, workspace_lock
from pipelines.parent import end_with
from pipelines.walk import Walk, default_jobs, walk

if TYPE_CHECKING:
    from prefect import State

REPORT = Path("data/report/report.html")
BENCHMARK = Path("data/benchmark")
ABLATION = "ablation/"
"""How the benchmark names the methods that are variants (`mfnet.benchmark.names`)."""
FIGURES = ("CD", "MNE", "CR")
Figures = dict[str, float | None]
"""One method's figures by name; None where there is no number."""


@flow(description="The whole DAG of dvc.yaml: what has changed, and what depends on it")
def rebuild(targets: Sequence[str] = (), jobs: int | None = None, force: bool = False) -> "State":
    """Make stages and leave their table, and the benchmark's with its change, as artifacts.

    Args:
        targets: stages or groups of stages to make, with what they depend on; all by default.
        jobs: stages at once; by default what cores and memory allow.
        force: run them although nothing has changed.
    """
    return _flow("rebuild", lambda root: _make(root, targets, jobs, force))


@flow(description="All variants trained and scored, as far as anything has changed")
def ablation(jobs: int | None = None) -> "State":
    """Make the ablation and its scores in wild."""
    return _flow("ablation", lambda root: _make(root, ("ablate", "benchmark@wild"), jobs))


@flow(description="Every protocol of the benchmark, as far as anything has changed")
def benchmark(jobs: int | None = None) -> "State":
    """Make the benchmark and what it needs."""
    return _flow("benchmark", lambda root: _make(root, ("benchmark",), jobs))


@flow(description="Everything held against its record: outputs, cache, params, code, lock, runs")
def audit() -> "State":
    """Leave the findings as an artifact, and fail if there are any."""
    return _flow("audit", _audit)


FLOWS = (rebuild, ablation, benchmark, audit)


def _flow(name: str, body: Callable[[Path], str]) -> "State":
    """Run `body` in this folder with nobody else at work in it; its answer says what went wrong, or nothing.

    A failure is a state, one line without a traceback; only a defect raises.
    """
    if deployment.id:
        end_with(os.getppid())  # its stages then end by themselves
    root = Path.cwd()
    try:
        if not (root / "dvc.yaml").is_file():
            raise InputError(f"{root}: no dvc.yaml; start {name} in the folder of the pipeline")
        with workspace_lock(root):
            problem = body(root)
    except InputError as error:
        problem = str(error)
    if problem:
        get_run_logger().error("%s", problem)
        return Failed(message=problem)
    return Completed(message=f"{name}: done")


def _make(root: Path, targets: Sequence[str], jobs: int | None, force: bool = False) -> str:
    log = get_run_logger()
    _look_at_archive(root)
    before = figures(root)
    dag = Dag.read(root)
    done = walk(root, dag, dag.wanted(targets), jobs or default_jobs(root), force)
    if done.seconds:
        order_lock(root, dag)
    log.info("%s", done.summary())
    _show(root, done, before)
    return done.verdict()


def _look_at_archive(root: Path) -> None:
    """Refresh the listing by which DVC learns that the user's image archive has changed."""
    from mfnet.datasets.archive import refresh_listing
    from mfnet.params import load_params

    params = root / "params.yaml"
    if not params.is_file() or "source" not in yaml.safe_load(params.read_text(encoding="utf-8")):
        return  # a workspace without an archive
    source = load_params(params).source
    if refresh_listing(source, root):
        get_run_logger().info("%s: the archive has changed", source.multipie)


def _show(root: Path, done: Walk, before: Mapping[tuple[str, ...], Figures]) -> None:
    """Artifacts: the stages, the benchmark's and the ablation's tables with the change of CD, the report."""
    create_table_artifact(key="stages", table=done.rows(), description=done.summary())
    rows = []
    for key, now in figures(root).items():
        old, new = before.get(key, {}).get("CD"), now.get("CD")
        change = None if old is None or new is None else new - old
        rows.append(dict(zip(("protocol", "bin", "method"), key, strict=True)) | now | {"change of CD": change})
    tables = {
        "benchmark": [row for row in rows if not row["method"].startswith(ABLATION)],
        "ablation": [row for row in rows if row["method"].startswith(ABLATION)],
    }
    for name, table in tables.items():
        if table:
            said = "mm, rad, share; the change is against what was here before this run. `mfnet ui` compares the runs"
            create_table_artifact(key=name, table=table, description=said)
    if (root / REPORT).is_file():
        create_link_artifact(key="report", link=(root / REPORT).as_uri(), link_text="the report")


def figures(root: Path) -> dict[tuple[str, ...], Figures]:
    """(protocol, bin, method) -> CD (mm), MNE (rad), CR of the benchmark's metrics files, as far as there are any."""
    found: dict[tuple[str, ...], Figures] = {}
    for path in sorted((root / BENCHMARK).glob("*/metrics.json")):
        for key, value in json.loads(path.read_text(encoding="utf-8")).items():
            if (parts := key.split("/"))[-1] in FIGURES:
                protocol, name, *method, figure = parts
                found.setdefault((protocol, name, "/".join(method)), {})[figure] = value
    return found


def _audit(root: Path) -> str:
    from mfnet.audit.everything import held_against_record, told
    from mfnet.audit.origins import recorded_runs
    from mfnet.audit.recorded import opened

    with opened(root) as repo:
        _, found = held_against_record(repo, root, recorded_runs(root))
    if found:
        create_table_artifact(key="audit", table=[each._asdict() for each in found], description="mfnet audit")
    return told(found)
