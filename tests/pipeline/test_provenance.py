"""What the record of a stage holds: params as dvc.yaml lists them, metrics, MD5s, time and memory."""

import json
import re
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from mfnet import tracking
from mfnet.errors import InputError
from mfnet.licences import Licensed
from mfnet.params import load_params
from mfnet.runs.store import address, all_runs
from stages.common import recording, run_stage, stage_parser
from stages.provenance import peak_memory, tracked
from tests.conftest import HANGS
from tests.runs.conftest import sent_runs

ROOT = Path(__file__).parents[2]

MEASURED = """
stages:
  measure:
    matrix: {item: [one]}
    cmd: echo ${item.item}
    deps: [given]
    params: [word, deep.listed]
    outs: [made]
    metrics: [figures.json: {cache: false}]
"""


@pytest.fixture(autouse=True)
def no_server(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path.parent / f"{tmp_path.name}-state"))


@pytest.fixture
def measured(workspace):
    (workspace / "dvc.yaml").write_text(MEASURED)
    (workspace / "given").write_text("given")
    return workspace


def write_outs(folder) -> None:
    (folder / "made").write_text("made")
    (folder / "figures.json").write_text(json.dumps({"error": {"mean": 2.0}, "source": "here", "logged": 5}))


def test_a_run_holds_what_made_the_outs(measured):
    with tracked("measure@one", {"word": "hello", "deep": {"listed": [1], "other": 2}}) as record:
        record.metrics({"logged": 4}, step=3)
        write_outs(measured)
    run = sent_runs(address(Path.cwd()))[0]
    assert run.info.run_name == "measure@one" and run.info.status == "FINISHED"
    assert run.data.params == {"word": "hello", "deep.listed": "[1]"}
    figures = dict(run.data.metrics)
    assert figures.pop("seconds") >= 0 and figures.pop("peak_memory_mib") > 1
    assert figures == {"logged": 4, "error.mean": 2.0}, "a metric that the stage logged at its steps stays as it is"
    assert run.data.tags["dvc.stage"] == "measure@one" and run.data.tags["result.source"] == "here"
    inputs = {each.dataset.name: each.dataset.digest for each in run.inputs.dataset_inputs}
    assert inputs == {}, "a file that no stage makes is code or a setting"
    (used,) = (measured / "mlartifacts").rglob("params.yaml")
    assert yaml.safe_load(used.read_text()) == {"word": "hello", "deep": {"listed": [1], "other": 2}}
    assert len(run.data.tags["git.revision"]) == 40 and run.data.tags["git.dirty"] == "true"
    for kind, prefix in (("deps", tracking.DEP), ("outs", tracking.OUT)):
        stored = {tag.removeprefix(prefix): md5 for tag, md5 in run.data.tags.items() if tag.startswith(prefix)}
        assert set(stored) == ({"given"} if kind == "deps" else {"made", "figures.json"})


def test_data_of_other_stages_is_an_input_by_the_locks_md5(workspace):
    """The toy stage ``last`` reads what ``first`` and ``middle`` have made."""
    subprocess.run(["dvc", "repro", "-q", "last"], check=True)
    with tracked("last", {"word": "hello"}):
        pass
    run = sent_runs(address(Path.cwd()))[0]
    lock = yaml.safe_load((workspace / "dvc.lock").read_text())["stages"]["last"]
    inputs = {each.dataset.name: each.dataset.digest for each in run.inputs.dataset_inputs}
    assert inputs == {entry["path"]: entry["md5"] for entry in lock["deps"]} and set(inputs) == {"first", "middle"}


def test_openlineage_is_told_of_data_and_not_of_code(workspace, monkeypatch):
    subprocess.run(["dvc", "repro", "-q", "middle"], check=True)
    monkeypatch.setenv("MFNET_OPENLINEAGE", "events.jsonl")
    with tracked("last", {"word": "hello"}):
        (workspace / "last").write_text("last")
    start, end = map(json.loads, (workspace / "events.jsonl").read_text().splitlines())
    lock = yaml.safe_load((workspace / "dvc.lock").read_text())["stages"]
    versions = {each["name"]: each["facets"]["version"]["datasetVersion"] for each in end["inputs"]}
    assert versions == {name: lock[name]["outs"][0]["md5"] for name in ("first", "middle")}
    assert [each["name"] for each in end["outputs"]] == ["last"] and start["job"]["name"] == "last"


def test_a_run_says_whose_files_it_stands_on_and_whether_it_may_be_shown(workspace):
    subprocess.run(["dvc", "repro", "-q", "middle"], check=True)
    seen = {}

    def owned(hashes):
        seen.update(hashes)
        return [Licensed("head", "a head", "2020", "their own", "", "no", f"md5 {hashes['first']}")]

    with tracked("last", {"word": "hello"}, owned):
        (workspace / "last").write_text("last")
    run = sent_runs(address(Path.cwd()))[0]
    assert set(seen) == {"first", "middle", "last"}, "its own outputs, its inputs, and what those were made of"
    assert run.data.tags["results.may_show"] == "no" and run.data.tags["licence.head.a head"] == "their own"
    (kept,) = (workspace / "mlartifacts").rglob("licences.json")
    assert json.loads(kept.read_text())["files"][0]["hash"] == f"md5 {seen['first']}"


def test_a_stage_that_fails_leaves_a_failed_run(measured):
    with pytest.raises(InputError), tracked("measure@one", {}):
        raise InputError("bad")
    run = sent_runs(address(Path.cwd()))[0]
    assert run.info.status == "FAILED"


def test_a_stage_started_by_hand_or_as_a_second_process_is_not_tracked(workspace, monkeypatch):
    params = load_params(ROOT / "params.yaml")
    monkeypatch.delenv("DVC_STAGE", raising=False)
    for rank in (None, "1"):
        if rank is not None:
            monkeypatch.setenv("DVC_STAGE", "first")
            monkeypatch.setenv("RANK", rank)
        with recording(params) as record:
            assert not record.active
            record.metrics({"a": 1.0})
            record.results({"a": {"b": 1.0}, "c": "text"})
            record.picture(None, "a.png")
    assert not (workspace / "mlflow.db").exists()


def test_a_variant_is_recorded_as_it_is_used(measured, monkeypatch):
    """What `vary` changes is what runs and what is recorded."""
    (measured / "dvc.yaml").write_text(MEASURED.replace("[word, deep.listed]", "[train.seed]"))
    monkeypatch.setenv("DVC_STAGE", "measure@one")
    monkeypatch.delenv("RANK", raising=False)

    def vary(params, args: Namespace):
        return params.model_copy(update={"train": params.train.model_copy(update={"seed": 77})})

    def run(params, args, record):
        assert params.train.seed == 77 and record.active
        write_outs(measured)

    run_stage(run, stage_parser("test"), ["--params", str(ROOT / "params.yaml")], vary)
    found = sent_runs(address(Path.cwd()))[0]
    assert found.data.params == {"train.seed": "77"}


def test_peak_memory_is_that_of_this_process():
    before = peak_memory()
    block = bytearray(64 << 20)
    block[::4096] = b"x" * len(block[::4096])
    assert before > 10 and peak_memory() >= before


TRACKED = """
import sys
import yaml
from stages.provenance import tracked

params = yaml.safe_load(open("params.yaml"))
with tracked("measure", params) as record:
    record.metrics({"x": float(params["seed"])})
    open("made", "w").write(str(params["seed"]))
"""


@pytest.mark.slow
def test_queued_experiments_keep_their_runs_in_the_workspace(workspace, monkeypatch):
    """DVC runs them in copies of the workspace, which it deletes."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (workspace / "measure.py").write_text(TRACKED)
    (workspace / "params.yaml").write_text("seed: 1\n")
    (workspace / "dvc.yaml").write_text(
        f"stages:\n  measure: {{cmd: {sys.executable} measure.py, deps: [measure.py], params: [seed], outs: [made]}}\n"
    )
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "measured"], check=True)
    for seed in (7, 8):
        subprocess.run(["dvc", "exp", "run", "--queue", "-S", f"seed={seed}"], check=True)
    subprocess.run(["dvc", "queue", "start", "-j", "2"], check=True)
    deadline = time.monotonic() + HANGS
    while re.search("Queued|Running", output("dvc", "queue", "status")) and time.monotonic() < deadline:
        time.sleep(1)
    runs = [run for run in all_runs(address(workspace)) if run.info.status == "FINISHED"]
    assert sorted(run.data.metrics["x"] for run in runs) == [7.0, 8.0]
    assert all(run.data.tags["dvc.experiment"] for run in runs)


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
