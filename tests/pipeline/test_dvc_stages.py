"""DVC stages run from outside: order, streaming, failure, and no orphans."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from mfnet.errors import InputError
from pipelines.dvc_stages import REFUSAL, StageFailed, StageRefused, run_stage, stage_order, workspace_lock
from stages import common
from tests.conftest import HANGS

ROOT = Path(__file__).parents[2]


def test_every_stage_comes_after_what_it_depends_on(workspace):
    order = stage_order(workspace)
    assert sorted(order) == ["crashed", "first", "last", "middle", "refused", "slow", "wrong"]
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


def test_bad_input_is_told_from_a_defect(workspace):
    with pytest.raises(StageRefused, match="no such folder"):
        run_stage("refused", workspace, lambda line: None)
    for address in ("crashed", "wrong"):
        with pytest.raises(StageFailed) as caught:
            run_stage(address, workspace, lambda line: None)
        assert not isinstance(caught.value, StageRefused)


def test_stages_refuse_bad_input_in_the_words_that_are_looked_for():
    def refuse(params, args, record):
        raise InputError("source.multipie: no such folder")

    with pytest.raises(SystemExit) as caught:
        common.run_stage(refuse, common.stage_parser("a stage"), ["--params", str(ROOT / "params.yaml")])
    assert REFUSAL.match(caught.value.code)


@pytest.mark.slow
@pytest.mark.parametrize(("address", "tries"), [("refused", 1), ("crashed", 3)])
def test_the_flow_runs_a_defect_again_and_bad_input_once(workspace, address, tries):
    """In a process of its own: Prefect's server and settings are those of a process."""
    code = (
        f"import sys, pipelines.rebuild as r\nr.reproduce.with_options(retry_delay_seconds=0)({address!r}, '.', False)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(workspace / "prefect")}
    done = subprocess.run(
        [os.sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=HANGS
    )
    assert done.returncode and "Stage" in done.stderr, done.stderr
    assert (workspace / "tries").read_text() == "x" * tries


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
