"""The walk through the DAG: as many stages at once as there is room for, each a Prefect task run."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import psutil
import yaml

import pipelines  # noqa: F401  (sets Prefect's environment before its first import)

from prefect import get_run_logger, task  # isort: skip
from prefect.states import Completed, Failed  # isort: skip

from pipelines.dvc_stages import Dag, StageBusy, StageFailed, run_stage

if TYPE_CHECKING:
    from prefect import State, Task
    from prefect.client.schemas.objects import TaskRun
    from prefect.futures import PrefectFuture

MEMORY = 4 << 30
"""Bytes that one stage at work may take: a training of the embedded profile takes less."""
NAMES = {"built": "Built", "from cache": "From cache", "unchanged": "Unchanged"}
"""What Prefect shows as the state of a stage that is up to date, by what was done to it."""
UNTOUCHED = NAMES["unchanged"]


def default_jobs(root: Path) -> int:
    """Stages that may run at once: the cores over `train.threads`, as far as the memory reaches; at least one."""
    from mfnet.compute.executor import usable_cores

    params = root / "params.yaml"
    values = yaml.safe_load(params.read_text(encoding="utf-8")) if params.is_file() else {}
    threads = max(1, values.get("train", {}).get("threads", 1))
    return max(1, min(usable_cores() // threads, psutil.virtual_memory().available // MEMORY))


def was_busy(task: "Task[..., Any]", task_run: "TaskRun", state: "State") -> bool:
    """Whether a stage failed because another DVC process held a lock: nothing else is better the second time."""
    try:
        state.result()
    except StageBusy:
        return True
    except Exception:
        return False
    return False


@task(task_run_name="{address}", retries=10, retry_delay_seconds=2, retry_jitter_factor=1, retry_condition_fn=was_busy)
def reproduce(address: str, root: str, changed: bool, force: bool) -> "State":
    """One DVC stage. changed: whether DVC must be asked; without it the stage is known to be up to date."""
    log = get_run_logger()
    outcome = "unchanged"
    try:
        if changed or force:
            outcome = run_stage(address, Path(root), log.info, force)
    except StageBusy:
        raise
    except StageFailed as error:
        log.error("%s", error)
        return Failed(message=str(error))
    return Completed(name=NAMES[outcome], message=f"{address}: {outcome}")


@dataclass
class Walk:
    """How a walk went."""

    dag: Dag
    states: dict[str, str] = field(default_factory=dict)
    """Address -> the name of its state, in the order in which the stages ended."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Address -> how long it took, of the stages that DVC was asked for."""
    errors: list[str] = field(default_factory=list)
    """Why stages failed, the first one first."""
    left_out: list[str] = field(default_factory=list)
    """Stages that were not reached, since one failed that they depend on."""
    wall: float = 0.0
    """Seconds of the whole walk."""

    def rows(self) -> list[dict]:
        """A table: stage, state, seconds."""
        rows = [{"stage": address, "state": name} for address, name in self.states.items()]
        rows += [{"stage": address, "state": "Not reached"} for address in self.left_out]
        return [row | {"seconds": round(self.seconds.get(row["stage"], 0.0), 1)} for row in rows]

    def summary(self) -> str:
        """The critical path with the seconds of each stage: what no number of cores can make shorter."""
        path = self.dag.critical_path(self.seconds)
        length = sum(self.seconds[address] for address in path)
        chain = " -> ".join(f"{address} {self.seconds[address]:.1f}" for address in path)
        work = f"{sum(self.seconds.values()):.1f} s of stages in {self.wall:.1f} s"
        return f"critical path {length:.1f} s: {chain} ({work})" if path else f"all up to date, {self.wall:.1f} s"

    def verdict(self) -> str:
        """Nothing where all went well; else the first error, then how many more there are and what they kept back."""
        if not self.errors:
            return ""
        more = f"; {len(self.errors) - 1} more failed" if len(self.errors) > 1 else ""
        kept = f"; not reached: {', '.join(self.left_out)}" if self.left_out else ""
        return self.errors[0] + more + kept


def walk(root: Path, dag: Dag, addresses: Sequence[str], jobs: int, force: bool = False) -> Walk:
    """Make stages, each after what it reads, `jobs` at a time; those first on which most others stand.

    addresses: stages with all that they depend on. A stage is left to DVC only if it had changed when `dag` was read
    or a stage that it reads from was made since. One that fails keeps back what depends on it and nothing else.
    """
    began = time.monotonic()
    result = Walk(dag)
    ended: SimpleQueue[tuple[str, PrefectFuture]] = SimpleQueue()
    started: dict[str, float] = {}
    heights = dag.heights()
    waiting = sorted(addresses, key=lambda address: -heights[address])

    def ready(address: str) -> bool:
        return all(other in result.states for other in dag.parents[address])

    def start(address: str) -> None:
        changed = address in dag.changed or any(result.states[other] != UNTOUCHED for other in dag.parents[address])
        started[address] = time.monotonic()
        if changed or force:
            result.seconds[address] = 0.0
        future = reproduce.submit(address, str(root), changed, force)
        future.add_done_callback(lambda future: ended.put((address, future)))

    while waiting or started:
        for address in [address for address in waiting if ready(address)][: jobs - len(started)]:
            waiting.remove(address)
            start(address)
        if not started:
            break
        address, future = ended.get()
        took = time.monotonic() - started.pop(address)
        if address in result.seconds:
            result.seconds[address] = took
        future.wait()
        if future.state.is_completed():
            result.states[address] = str(future.state.name)
        else:
            result.errors.append(future.state.message or f"{address}: {future.state.name}")
    result.left_out, result.wall = waiting, time.monotonic() - began
    return result
