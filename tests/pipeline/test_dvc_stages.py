"""DVC stages run from outside: order, streaming, failure, and no orphans."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from pipelines.dvc_stages import StageFailed, run_stage, stage_order, workspace_lock
from tests.conftest import HANGS

ROOT = Path(__file__).parents[2]


def test_every_stage_comes_after_what_it_depends_on(workspace):
    order = stage_order(workspace)
    assert sorted(order) == ["first", "last", "middle", "slow", "wrong"]
    assert order.index("first") < order.index("middle") < order.index("last")


def test_lines_are_streamed_and_an_unchanged_stage_is_skipped(workspace):
    lines = []
    for address in ("first", "middle", "last"):
        run_stage(address, workspace, lines.append)
    assert (workspace / "last").read_text() == "hello\nhello\n"
    assert "done with last" in lines
    again = []
    run_stage("last", workspace, again.append)
    assert any("didn't change" in line for line in again) and "done with last" not in again


def test_a_failure_tells_why(workspace):
    with pytest.raises(StageFailed, match=r"(?s)wrong failed.*this is why"):
        run_stage("wrong", workspace, lambda line: None)


class Interrupted(BaseException):
    """Stands for a cancelled flow."""


def test_an_interrupted_stage_leaves_no_orphan(workspace):
    def log(line):
        if line == "started":
            raise Interrupted

    with pytest.raises(Interrupted):
        run_stage("slow", workspace, log)
    found = subprocess.run(["pgrep", "-f", "sleep 600"], capture_output=True, text=True).stdout.split()
    mine = [pid for pid in found if os.path.realpath(f"/proc/{pid}/cwd") == str(workspace)]
    for pid in mine:
        os.kill(int(pid), signal.SIGKILL)
    assert not mine


def test_one_rebuild_at_a_time(workspace):
    with workspace_lock(workspace), pytest.raises(StageFailed, match=r"rebuild\.lock"), workspace_lock(workspace):
        pass
    with workspace_lock(workspace):
        pass


def test_the_lock_is_free_after_its_holder_was_killed(workspace):
    code = (
        "import sys, time; from pathlib import Path; from pipelines.dvc_stages import workspace_lock\n"
        "with workspace_lock(Path('.')): print('held', flush=True); time.sleep(600)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    holder = subprocess.Popen(
        [os.sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=workspace, env=environment
    )
    timer = threading.Timer(HANGS, holder.kill)
    timer.start()
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    timer.cancel()
    with workspace_lock(workspace):
        pass
