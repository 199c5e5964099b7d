"""The schedules: the same in prefect.yaml, and flows that really start."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from mfnet.runs.server import free_port
from pipelines import dvc_process
from pipelines.flows import FLOWS
from pipelines.serve import SCHEDULES, deployments
from tests.conftest import HANGS

ROOT = Path(__file__).parents[2]


def test_every_flow_has_a_schedule_and_prefect_yaml_has_the_same():
    assert SCHEDULES.keys() == {flow.name for flow in FLOWS}
    listed = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    crons = {}
    for each in listed:
        (schedule,) = each["schedules"]
        assert schedule["active"] and schedule["timezone"] == "UTC"
        crons[re.fullmatch(r"pipelines/flows\.py:(\w+)", each["entrypoint"])[1]] = schedule["cron"]
        assert each["concurrency_limit"]["limit"] == 1
    assert crons == SCHEDULES


def test_a_schedule_is_cron_or_seconds():
    made = deployments(SCHEDULES | {"audit": "2.5"})
    schedules = {each.flow_name: each.schedules[0].schedule for each in made}
    assert schedules["rebuild"].cron == "0 3 * * *" and schedules["audit"].interval.total_seconds() == 2.5


def finished(api: str) -> list[str]:
    """The states of all runs of `rebuild` that have ended."""
    asked = {"flows": {"name": {"any_": ["rebuild"]}}, "flow_runs": {"start_time": {"is_null_": False}}}
    request = urllib.request.Request(
        f"{api}/flow_runs/filter", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return [run["state_name"] for run in json.load(answer) if run["end_time"]]


@pytest.mark.slow
@pytest.mark.timeout(2 * HANGS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_schedule_of_seconds_fires_twice_and_ends_with_everything(diamond, tmp_path_factory, number):
    port = free_port()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect"))}
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "pipelines.serve", "--port", str(port), "--rebuild", "5"]
    serving = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert serving.stdout.readline() == f"Prefect server: http://127.0.0.1:{port}\n"
    api = f"http://127.0.0.1:{port}/api"
    deadline = time.monotonic() + HANGS
    while len(ended := finished(api)) < 2 and time.monotonic() < deadline:
        time.sleep(1)
    assert set(ended) == {"Completed"} and (diamond / "tail").read_text() == "hello\n" * 3
    serving.send_signal(number)
    serving.wait(HANGS)
    while dvc_process.started_in(diamond) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not dvc_process.started_in(diamond)
    with pytest.raises(OSError):
        for _ in range(100):  # the server looks twice a second whether its parent lives
            finished(api)
            time.sleep(0.5)
