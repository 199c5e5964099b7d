"""DVC seen from outside: which stages there are and which are to be made, one stage run, the workspace held."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mfnet.errors import InputError
from pipelines import dvc_process

REFUSAL = re.compile(r"[\w.\- ]+: error: ")
"""How the one line begins in which a stage refuses bad input (`stages.common.run_stage`); a defect has a traceback."""
OF_DVC = "ERROR: "
"""How DVC's own complaints begin: a missing file, a lock that is held."""
KILLED = re.compile(r"exited with -(\d+)$")
"""How DVC's complaint ends where a signal ended the stage: somebody's, or the kernel's when memory ran out."""
BUSY = re.compile(r"Unable to acquire lock|is busy, it is being blocked by")
"""What DVC says while another DVC process writes."""
Outcome = Literal["built", "from cache", "unchanged"]
"""What DVC did with a stage: ran it, took an earlier run's outs from its cache, or left it alone."""
LOCK = Path("dvc.lock")
KEPT = Path(".mfnet/dvc.lock.before")
"""dvc.lock as it was when a flow began, for as long as the flow runs."""


class StageFailed(RuntimeError):
    """A DVC stage ended with an error; the message is one line that says why."""


class StageBusy(StageFailed):
    """Another DVC process was at work; the same again may succeed."""


@dataclass(frozen=True)
class Dag:
    """The stages of dvc.yaml in the order of ``dvc repro``."""

    parents: Mapping[str, Sequence[str]]
    """Address -> the stages that it reads from."""
    changed: frozenset[str]
    """Stages that are not as dvc.lock has them, or read what is not."""

    @classmethod
    def read(cls, root: Path) -> "Dag":
        """Ask DVC, in this process, for the whole workspace at once. No stage may be at work."""
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

        try:
            with Repo(str(root)) as repo:
                graph = get_active_graph(repo.index.graph)
                stages = plan_repro(graph, collect_stages(repo, ["dvc.yaml"]))
                parents = {
                    stage.addressing: [other.addressing for other in graph.successors(stage)] for stage in stages
                }
                return cls(parents, frozenset(repo.status()))
        except DvcException as error:
            raise InputError(f"{root}: {' '.join(str(error).split())}") from error

    def wanted(self, targets: Sequence[str]) -> list[str]:
        """The stages `targets` with all that they depend on, in order; a group's name stands for its stages.

        Raises InputError for a name that no stage has.
        """
        todo = [address for address in self.parents if not targets or {address, address.split("@")[0]} & set(targets)]
        names = {name for address in self.parents for name in (address, address.split("@")[0])}
        if unknown := sorted(set(targets) - names):
            raise InputError(f"no such stage: {', '.join(unknown)}; known: {', '.join(self.parents)}")
        found = set()
        while todo:
            if (address := todo.pop()) not in found:
                found.add(address)
                todo += self.parents[address]
        return [address for address in self.parents if address in found]

    def critical_path(self, seconds: Mapping[str, float]) -> list[str]:
        """The chain of stages, each reading the one before, whose `seconds` add up to most."""
        total, before = {}, {}
        for address in self.parents:
            if address in seconds:
                known = [other for other in self.parents[address] if other in total]
                before[address] = max(known, key=total.__getitem__, default=None)
                total[address] = seconds[address] + total.get(before[address], 0.0)
        chain, last = [], max(total, key=total.__getitem__, default=None)
        while last is not None:
            chain.insert(0, last)
            last = before[last]
        return chain

    def heights(self) -> dict[str, int]:
        """Address -> how many stages stand on it, one on the other."""
        height = dict.fromkeys(self.parents, 0)
        for address in reversed(list(self.parents)):
            for other in self.parents[address]:
                height[other] = max(height[other], height[address] + 1)
        return height


def run_stage(address: str, root: Path, log: Callable[[str], None], force: bool = False) -> Outcome:
    """Run ``dvc repro`` for one stage alone and pass each line of its output to `log`.

    DVC and the stage have a session of their own. Whatever ends this function early kills them, as they end when this
    process is killed (`pipelines.dvc_process`): an orphaned stage would go on writing beside the next run.

    Raises StageFailed if DVC does, StageBusy where another DVC process was in the way.
    """
    words = ["--wait-for-lock", "repro", "--single-item", *(["--force"] if force else []), address]
    # -P: the folder of this package is not to be searched for modules of others
    command = [sys.executable, "-P", dvc_process.__file__, str(os.getpid()), *words]
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1", dvc_process.MARK: str(root.resolve())}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    process = subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    threading.Thread(target=_end_with, args=(process, root.resolve(), address), daemon=True).start()
    said: list[str] = []
    try:
        assert process.stdout is not None  # it is a pipe
        for line in process.stdout:
            if line := line.rstrip():
                log(line)
                said = [*said[-199:], line]
        if process.wait():
            _raise(address, process.returncode, said)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            dvc_process.kill_stage(root.resolve(), address)
    if any("didn't change, skipping" in line for line in said):
        return "unchanged"
    return "from cache" if any("is cached - skipping run" in line for line in said) else "built"


def _end_with(process: subprocess.Popen[str], root: Path, address: str) -> None:
    """Kill a stage whose DVC was killed: it would go on, and hold the pipe that its lines are read from."""
    if process.wait() < 0:
        dvc_process.kill_stage(root, address)


def _raise(address: str, status: int, said: Sequence[str]) -> None:
    """Raise what a failed stage has to say: its refusal of bad input, the last it said, or DVC's own complaint."""
    if any(BUSY.search(line) for line in said):
        raise StageBusy(f"{address}: another DVC process is at work")
    began = max((place for place, line in enumerate(said) if line.startswith("> ")), default=len(said))
    own = [line for line in said[began + 1 :] if not line.startswith(OF_DVC)]
    crashed = any(line.startswith("Traceback ") for line in own)
    refusals = [] if crashed else [line for line in own if REFUSAL.match(line)]
    complaints = [line.removeprefix(OF_DVC) for line in said if line.startswith(OF_DVC)]
    reason = (refusals or own or complaints or [f"DVC ended with status {status}"])[-1]
    killed = KILLED.search(complaints[-1]) if complaints else None
    raise StageFailed(f"{address}: " + (f"killed by signal {killed[1]}; it last said: {reason}" if killed else reason))


@contextmanager
def workspace_lock(root: Path) -> Iterator[None]:
    """Hold the workspace: one flow at a time, and nothing left of an earlier one that was killed.

    The lock is a flock, so a killed process releases it at once. Raises InputError where another process holds it.
    """
    path = root / ".mfnet" / "rebuild.lock"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with path.open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{path}: another flow is at work in this folder; wait for it or stop it") from None
        try:
            dvc_process.end_all(root.resolve())
            _mend(root)
            yield
        finally:
            dvc_process.end_all(root.resolve())
            (root / KEPT).unlink(missing_ok=True)


def _mend(root: Path) -> None:
    """Keep a copy of dvc.lock, or put the last one back where DVC was killed in the middle of writing it.

    What was made since that copy comes back from DVC's cache of runs. DVC's list of the files that are being read and
    written is dropped where it was torn in the same way.
    """
    import json

    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    lock, kept = root / LOCK, root / KEPT
    with Repo(str(root)) as repo:
        busy = Path(str(repo.tmp_dir), "rwlock")
        try:
            Lockfile(repo, str(lock)).load()
        except DvcException as error:
            if not kept.is_file():
                raise InputError(f"{lock}: cannot be read ({error}); git checkout {LOCK}") from error
            _replace(lock, kept.read_bytes())
    if lock.is_file() and not lock.stat().st_size:
        lock.unlink()  # there was none when the last flow began
    try:
        json.loads(busy.read_bytes() if busy.is_file() else b"{}")
    except ValueError:
        busy.unlink()
    _replace(kept, lock.read_bytes() if lock.is_file() else b"")


def _replace(path: Path, content: bytes) -> None:
    """Write beside and rename; `mfnet.io.files` does the same, and imports pandas, which takes a second."""
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_bytes(content)
    beside.replace(path)


def order_lock(root: Path, dag: Dag) -> None:
    """Put the entries of dvc.lock into the order in which ``dvc repro`` makes them, whatever order they came in.

    Raises InputError where another DVC process is at work.
    """
    from dvc.lock import LockError
    from dvc.repo import Repo
    from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

    lock = root / LOCK
    try:
        with Repo(str(root)) as repo, repo.lock:
            whole = parse_yaml_for_update(lock.read_text(encoding="utf-8") if lock.is_file() else "", lock)
            stages = whole.get("stages", {})
            place = {address: number for number, address in enumerate(dag.parents)}
            ordered = sorted(stages, key=lambda address: place.get(address, -1))
            if ordered == list(stages):
                return
            for address in ordered:
                stages[address] = stages.pop(address)
            _replace(lock, dumps_yaml(whole).encode())
    except LockError as error:
        raise InputError(f"{lock}: {' '.join(str(error).split())}") from error
