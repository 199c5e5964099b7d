"""A stage's process ends with the flow that started it, however that ends."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from pipelines import dvc_process
from tests.conftest import HANGS

ROOT = Path(__file__).parents[2]
DEAF = """
stages:
  deaf:
    cmd: >-
      trap "" TERM HUP INT; setsid sleep 600 & echo started; sleep 600
    outs: [deaf]
"""
RUN = "from pathlib import Path; from pipelines.dvc_stages import run_stage; run_stage('deaf', Path.cwd(), print)"


@pytest.fixture
def at_work(workspace):
    """A process that runs a stage which ignores signals and has a child in a session of its own."""
    (workspace / "dvc.yaml").write_text(DEAF)
    command = [sys.executable, "-uc", RUN]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a suite in the background ignores it
    flow = subprocess.Popen(
        command, cwd=workspace, env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=heard
    )
    assert flow.stdout is not None
    assert any(line == "started\n" for line in flow.stdout)
    assert set(dvc_process.started_in(workspace).values()) == {None, "deaf"}
    yield flow
    flow.kill()
    flow.wait()


def gone(workspace) -> None:
    deadline = time.monotonic() + HANGS
    while left := dvc_process.started_in(workspace):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_a_flow(at_work, workspace, number):
    at_work.send_signal(number)
    at_work.wait(HANGS)
    gone(workspace)


def test_nothing_outlives_dvc(at_work, workspace):
    """The flow sees its end, kills what is left of the stage and fails."""
    (dvc,) = (process for process, stage in dvc_process.started_in(workspace).items() if stage is None)
    dvc.kill()
    assert at_work.wait(HANGS)
    gone(workspace)


def test_dvc_comes_to_its_end_when_its_stage_is_killed(at_work, workspace):
    """It releases what it holds: DVC's list of files that are being written is empty afterwards."""
    (dvc,) = (process for process, stage in dvc_process.started_in(workspace).items() if stage is None)
    dvc.terminate()
    assert at_work.wait(HANGS)
    gone(workspace)
    held = json.loads((workspace / ".dvc" / "tmp" / "rwlock").read_text())
    assert not held.get("write") and not held.get("read")
