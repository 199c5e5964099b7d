"""The flows in small workspaces: what runs, what it says, and what is left when it is killed at any moment."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from pipelines import dvc_process, flows
from pipelines.dvc_stages import Dag
from pipelines.walk import Walk
from tests.conftest import HANGS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * HANGS)]
REBUILD = (sys.executable, "-m", "pipelines.rebuild")


def states(log: str) -> dict[str, str]:
    """Stage -> the name of the state in which it ended."""
    return dict(re.findall(r"Task run '(.+?)' - Finished in state (.+?)\(", log))


def run(environment, *words: str, status: int = 0) -> str:
    """What the command says."""
    done = subprocess.run(
        [*REBUILD, *words],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=HANGS,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def of_dvc_repro(workspace, folder) -> bytes:
    """dvc.lock as plain ``dvc repro`` makes it from nothing."""
    subprocess.run(["git", "clone", "-q", workspace, folder], check=True)
    subprocess.run(["dvc", "repro", "-q"], cwd=folder, check=True)
    return (folder / "dvc.lock").read_bytes()


def test_tables_have_the_change_against_what_was_there(tmp_path, monkeypatch):
    shown = {}
    monkeypatch.setattr(flows, "create_table_artifact", lambda key, table, description: shown.update({key: table}))
    folder = tmp_path / "data" / "benchmark" / "lab"
    folder.mkdir(parents=True)
    before = {"lab/all/mfnet_3/CD": 2.0, "lab/all/mfnet_3/MNE": 0.1, "lab/all/ablation/full-6/CD": None}
    (folder / "metrics.json").write_text(json.dumps(before))
    old = flows.figures(tmp_path)
    new = {"lab/all/mfnet_3/CD": 1.5, "lab/all/mfnet_3/CD_low": 1.0, "lab/all/ablation/full-6/CD": 3.0, "lab/items": 7}
    (folder / "metrics.json").write_text(json.dumps(new))
    flows._show(tmp_path, Walk(Dag({}, frozenset())), old)
    row = {"protocol": "lab", "bin": "all"}
    assert shown["benchmark"] == [row | {"method": "mfnet_3", "CD": 1.5, "change of CD": -0.5}]
    assert shown["ablation"] == [row | {"method": "ablation/full-6", "CD": 3.0, "change of CD": None}]


def test_stages_run_side_by_side_and_the_lock_is_that_of_dvc_repro(diamond, prefect_api, tmp_path_factory):
    said = run(prefect_api, "--jobs", "6")
    assert states(said) == dict.fromkeys(("head", "left", "right", "tail", "alone", "after"), "Built")
    assert (diamond / "dvc.lock").read_bytes() == of_dvc_repro(diamond, tmp_path_factory.mktemp("plain") / "clone")
    length, path = re.search(r"critical path ([\d.]+) s: (.+?) \(", said).groups()
    stages, seconds = zip(*(part.split(" ") for part in path.split(" -> ")), strict=True)
    # Which of the chains takes longest is the machine's affair.
    assert stages in (("head", "left", "tail"), ("head", "right", "tail"), ("alone", "after"))
    assert float(length) == pytest.approx(sum(map(float, seconds)), abs=0.21)  # each is rounded to a tenth
    assert set(states(run(prefect_api)).values()) == {"Unchanged"}
    (diamond / "params.yaml").write_text("word: other\n")
    (diamond / "after").unlink()
    assert states(run(prefect_api, "after", "left")) == {
        "alone": "Unchanged",
        "after": "From cache",
        "head": "Built",
        "left": "Built",
    }


def test_a_failed_stage_keeps_back_what_depends_on_it_alone(workspace, prefect_api):
    (workspace / "dvc.yaml").write_text(
        "stages:\n  bad: {cmd: \"echo 'bad: error: no such folder' && exit 1\", outs: [bad]}\n"
        "  kept: {cmd: cat bad > kept, deps: [bad], outs: [kept]}\n"
        "  back: {cmd: cat kept > back, deps: [kept], outs: [back]}\n"
        "  good: {cmd: echo 1 > good, outs: [good]}\n  fine: {cmd: cat good > fine, deps: [good], outs: [fine]}\n"
    )
    said = run(prefect_api, "--jobs", "2", status=1)
    assert states(said) == {"bad": "Failed", "good": "Built", "fine": "Built"}
    errors = [line for line in said.splitlines() if "| ERROR " in line]
    assert errors[0].endswith("'bad' - bad: bad: error: no such folder") and "Traceback" not in said
    assert "not reached: kept, back" in errors[-1]
    assert said.count("Running stage 'bad'") == 1, "bad input is as bad the second time"


def test_bad_words_and_places_are_one_line(workspace, prefect_api, tmp_path_factory, monkeypatch):
    assert "no such stage: nothing; known: first, " in run(prefect_api, "nothing", status=1)
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    said = run(prefect_api, status=1)
    assert "no dvc.yaml" in said and "Traceback" not in said


def test_a_held_lock_is_waited_for(diamond, prefect_api):
    """Another DVC process is at work when the flow's own starts."""
    hold = "import time\nfrom dvc.repo import Repo\nwith Repo().lock: print(flush=True); time.sleep(8)"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE)
    code = (
        "import sys; from pathlib import Path; from pipelines.dvc_stages import run_stage\n"
        "print(run_stage('head', Path.cwd(), print))"
    )
    assert holder.stdout.readline()
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | prefect_api, capture_output=True, text=True)
    holder.wait()
    assert done.stdout.endswith("built\n"), done.stdout + done.stderr


def heed_interrupts() -> None:
    """Shells start what runs in the background deaf to SIGINT, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def at_line(environment, number: int) -> subprocess.Popen:
    """A flow that has said so many lines, or has ended."""
    flow = subprocess.Popen(
        [*REBUILD, "--jobs", "3"],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    for _ in zip(range(number), flow.stdout, strict=False):
        pass
    return flow


def test_the_lock_is_right_after_kills_at_any_moment(diamond, prefect_api, tmp_path_factory):
    """Six kills here; `KILLS=20` asks for more. The moment is a line of the log and a part of a second after it."""
    moments = random.Random(5)
    for _ in range(int(os.environ.get("KILLS", "6"))):
        flow = at_line(prefect_api, moments.randrange(2, 60))
        time.sleep(moments.random() * 0.5)
        flow.kill()
        flow.wait()
        began = time.monotonic()
        while left := dvc_process.started_in(diamond):
            assert time.monotonic() - began < HANGS, left
            time.sleep(0.05)
        lock = diamond / "dvc.lock"
        assert not lock.exists() or set(yaml.safe_load(lock.read_bytes())) == {"schema", "stages"}
        if moments.random() < 0.3:
            lock.unlink(missing_ok=True)
            shutil.rmtree(diamond / ".dvc" / "cache", ignore_errors=True)  # so that there is something to make again
    run(prefect_api)
    assert (diamond / "dvc.lock").read_bytes() == of_dvc_repro(diamond, tmp_path_factory.mktemp("plain") / "clone")
    assert set(states(run(prefect_api)).values()) == {"Unchanged"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_flow_that_is_told_to_end_ends_with_its_stages(diamond, prefect_api, number):
    (diamond / "dvc.yaml").write_text(f"stages: {{slow: {{cmd: echo started; sleep {2 * HANGS}, outs: [slow]}}}}\n")
    flow = at_line(prefect_api, 5)
    assert "slow" in dvc_process.started_in(diamond).values()
    flow.send_signal(number)
    assert flow.wait(HANGS)
    assert not dvc_process.started_in(diamond)


def test_flows_share_a_workspace_one_at_a_time(diamond, prefect_api):
    (diamond / "dvc.yaml").write_text("stages: {slow: {cmd: echo started; sleep 600, outs: [slow]}}\n")
    flow = at_line(prefect_api, 5)
    try:
        assert "another flow is at work in this folder" in run(prefect_api, status=1)
    finally:
        flow.kill()
        flow.wait()
