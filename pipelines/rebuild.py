"""Rebuild everything that changed, stage by stage, with Prefect.

``python -m pipelines.rebuild`` runs once; ``--cron "0 3 * * *"`` stays and runs on a schedule; ``prefect.yaml`` holds
the same as a deployment for a worker.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pipelines  # noqa: F401  (sets Prefect's environment before its first import)

from prefect import flow, get_run_logger, task  # isort: skip
from prefect.artifacts import create_table_artifact  # isort: skip

from mfnet.errors import InputError
from pipelines.dvc_stages import StageRefused, run_stage, stage_order, workspace_lock
from pipelines.server import scheduling_server

if TYPE_CHECKING:
    from prefect import State, Task
    from prefect.client.schemas.objects import TaskRun

ROOT = Path(__file__).parents[1]


def worth_retrying(task: "Task[..., Any]", task_run: "TaskRun", state: "State") -> bool:
    """Whether a failed task may succeed when it is run again: bad input stays bad."""
    try:
        state.result()
    except (StageRefused, InputError):
        return False
    except Exception:
        return True
    return True


@task(task_run_name="{address}", retries=2, retry_delay_seconds=[5, 30], retry_condition_fn=worth_retrying)
def reproduce(address: str, root: str, force: bool) -> None:
    """One DVC stage; retried unless its input is bad: run again, a stage goes on from where it was or starts clean."""
    run_stage(address, Path(root), get_run_logger().info, force)


@task(task_run_name="archive", retries=1, retry_condition_fn=worth_retrying)
def look_at_archive(root: str) -> None:
    """Refresh the listing by which DVC learns that the user's image archive changed."""
    from mfnet.datasets.archive import refresh_listing
    from mfnet.params import load_params

    source = load_params(Path(root) / "params.yaml").source
    if refresh_listing(source, Path(root)):
        get_run_logger().info("%s: the archive changed", source.multipie)


@flow(name="rebuild", description="The whole DAG of dvc.yaml, stage by stage")
def rebuild(root: str = str(ROOT), only: list[str] | None = None, force: bool = False) -> list[dict]:
    """Run the stages in order and leave the benchmark table as an artifact.

    Args:
        root: folder of dvc.yaml.
        only: addresses of stages to run, all by default.
        force: run them although nothing changed.

    Returns:
        The rows of data/report/summary.json.
    """
    folder = Path(root)
    order = stage_order(folder)
    if unknown := set(only or []) - set(order):
        raise ValueError(f"only: no such stage: {', '.join(sorted(unknown))}; known: {', '.join(order)}")
    with workspace_lock(folder):
        look_at_archive(root)
        for address in order:
            if not only or address in only:
                reproduce(address, root, force)
    summary = folder / "data" / "report" / "summary.json"
    rows = json.loads(summary.read_text()) if summary.is_file() else []
    if rows:
        create_table_artifact(key="benchmark", table=rows, description="data/report/summary.json")
    return rows


def main(argv: list[str] | None = None) -> None:
    """Run once, or serve on a schedule."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.rebuild", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="STAGE", help="run these stages alone")
    parser.add_argument("--force", action="store_true", help="run stages although nothing changed")
    parser.add_argument("--cron", metavar="EXPRESSION", help="stay, and run on this schedule")
    args = parser.parse_args(argv)
    parameters = {"only": args.only, "force": args.force}
    if args.cron:
        with scheduling_server() as address:
            print(f"Prefect server: {address}")
            rebuild.serve(name="rebuild", cron=args.cron, limit=1, parameters=parameters)
    else:
        rebuild(**parameters)


if __name__ == "__main__":
    main()
