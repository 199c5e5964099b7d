"""DVC seen from outside: the order of the stages, and one stage run in a process group that can be killed whole."""

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

REFUSAL = re.compile(r"[\w.\- ]+: error: ")
"""How the one line begins in which a stage refuses bad input (`stages.common.run_stage`); a defect has a traceback."""


class StageFailed(RuntimeError):
    """A DVC stage ended with an error; the message holds its last lines."""


class StageRefused(StageFailed):
    """A DVC stage refused its params or its data, and will refuse them again."""


def stage_order(root: Path) -> list[str]:
    """Addresses of all stages, each after what it depends on; ties in the order of dvc.yaml."""
    import networkx
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        place = {stage: number for number, stage in enumerate(repo.index.stages)}
        # DVC's edges point from a stage to what it depends on
        graph = repo.index.graph.reverse()
        return [stage.addressing for stage in networkx.lexicographical_topological_sort(graph, key=place.get)]


def run_stage(address: str, root: Path, log: Callable[[str], None], force: bool = False) -> None:
    """Run ``dvc repro`` for one stage alone and pass each line of its output to `log`.

    The stage has a session of its own: whatever ends this function early (a cancelled flow, a time-out, Ctrl-C) kills
    DVC and the stage together, since an orphaned stage would go on writing beside the next run.

    Raises StageFailed if DVC does, StageRefused where the stage calls its input bad.
    """
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", address] + (["--force"] if force else [])
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    process = subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    last: list[str] = []
    refused = crashed = False
    try:
        assert process.stdout is not None  # it is a pipe
        for line in process.stdout:
            if line := line.rstrip():
                log(line)
                last = [*last[-19:], line]
                refused = refused or REFUSAL.match(line) is not None
                crashed = crashed or line.startswith("Traceback ")
        if process.wait():
            error = StageRefused if refused and not crashed else StageFailed
            raise error(f"{address} failed with status {process.returncode}:\n" + "\n".join(last))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def workspace_lock(root: Path) -> Iterator[None]:
    """Hold the workspace: one rebuild at a time. The lock is a flock, so a killed process releases it at once.

    Raises StageFailed where another process holds it.
    """
    path = root / ".mfnet" / "rebuild.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageFailed(f"{path}: another rebuild is at work in this folder; wait for it or stop it") from None
        yield
