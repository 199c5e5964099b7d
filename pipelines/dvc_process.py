"""DVC for one stage, in a process that ends with the flow that started it: ``python dvc_process.py PID dvc's words``.

The flow may be killed with -9 and then cannot end anything; so this process looks whether its parent still lives. When
it does not, or when it is told to by SIGTERM, the stage is killed at once, and DVC is left a few seconds to come to its
end by itself: killed while it writes dvc.lock, it would leave half of it.

Every process below this one carries the workspace in its environment, by which a later flow finds what is left of one
whose every process was killed.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil

MARK = "MFNET_REBUILD"
"""Variable in the environment of all that a flow starts in a workspace: the workspace's path."""
STAGE = "DVC_STAGE"
"""DVC sets it for the commands that it runs."""
PATIENCE = 5.0
"""Seconds in which DVC may end by itself once its stage is gone."""


def started_in(root: Path) -> dict[psutil.Process, str | None]:
    """Living processes that flows have started in a workspace -> their stage; None for DVC itself."""
    found = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if environment.get(MARK) == str(root) and process.status() != psutil.STATUS_ZOMBIE:
                found[process] = environment.get(STAGE)
        except (psutil.Error, OSError):  # another user's, or gone meanwhile
            continue
    found.pop(psutil.Process(), None)
    return found


def kill_stage(root: Path, address: str) -> None:
    """Kill the commands of one stage with everything that they have started."""
    for process, stage in started_in(root).items():
        if stage == address:
            _send(process, signal.SIGKILL)


def end_all(root: Path) -> None:
    """End all that flows have started in a workspace: stages at once, DVC when it is done or after PATIENCE."""
    deadline = time.monotonic() + PATIENCE + 1.0
    while found := started_in(root):
        late = time.monotonic() > deadline
        for process, stage in found.items():
            _send(process, signal.SIGTERM if stage is None and not late else signal.SIGKILL)
        time.sleep(0.1)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:  # it has ended meanwhile
        pass


def _watch(parent: int, root: Path, address: str, told: threading.Event) -> None:
    while os.getppid() == parent and not told.wait(0.25):
        pass
    told.set()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        kill_stage(root, address)
        time.sleep(0.1)
    os._exit(128 + signal.SIGTERM)


def main(argv: list[str]) -> int:
    """Run ``dvc`` with the words that follow the parent's process id; the last one is the stage."""
    parent, words = int(argv[0]), argv[1:]
    root, address = Path(os.environ[MARK]), words[-1]
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: told.set())
    threading.Thread(target=_watch, args=(parent, root, address, told), daemon=True).start()
    from dvc.cli import main as dvc  # takes a second, in which the flow may end

    try:
        return dvc(words)
    finally:
        if told.is_set():
            kill_stage(root, address)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
