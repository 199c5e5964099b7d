"""Nothing is lost and nothing hangs: dead, silent and locked stores, killed processes, what MLflow refuses."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing

import pytest

from mfnet import tracking
from mfnet.runs.outbox import RunRecord, outboxes, records
from mfnet.runs.sender import sync
from mfnet.runs.server import free_port
from mfnet.runs.store import address, all_runs, client_at
from tests.conftest import HANGS
from tests.runs.conftest import process

SLEEPER = """
    import time
    from mfnet import tracking
    with tracking.run("sweep", "sleeper", {}, {}) as run:
        run.metrics({"x": 1.0})
        print("recorded", flush=True)
        time.sleep(600)
"""


def unsent(place, *events: dict) -> None:
    """A finished record that nobody has tried to send."""
    record = RunRecord.open(outboxes(place))
    for event in ({"kind": "begin", "experiment": "sweep", "name": "late", "tags": {}, "store": ""}, *events):
        record.write(event)
    record.write({"kind": "end", "status": "FINISHED"})
    record.close()


def test_what_waits_is_sent_once(place, store):
    unsent(place, {"kind": "metrics", "points": [["x", 1.0, 0], ["x", 2.0, 1]]})
    assert sync(place) == (1, 0) and sync(place) == (0, 0)
    (run,) = all_runs(store)
    assert run.data.metrics == {"x": 2.0} and records(place) == []


def test_a_run_that_was_sent_halfway_is_completed_not_doubled(place, store, monkeypatch):
    unsent(place, {"kind": "metrics", "points": [["x", 1.0, 0]]}, {"kind": "tags", "values": {"a": "b"}})
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules["mfnet.runs.sender"].SENT, "tags", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sync(place)
    (folder,) = records(place)
    (folder / "sent.json").write_text("")  # as if a full disk had not taken it
    assert sync(place) == (1, 0)
    (run,) = all_runs(store)
    client = client_at(store)
    assert run.data.tags["a"] == "b" and len(client.get_metric_history(run.info.run_id, "x")) == 1


def test_an_experiment_holds_one_sweep_and_each_of_its_runs_once(place, store):
    def sweep(name: str) -> None:
        for variant in ("full", "no-eye"):
            with tracking.run("ablation", variant, {}, {}, sweep=name) as run:
                run.metrics({"wild/all/CD": 1.0})

    def held() -> dict[str, list[str]]:
        client, found = client_at(store), {}
        for run in all_runs(store):
            found.setdefault(client.get_experiment(run.info.experiment_id).name, []).append(run.info.run_name)
        return {name: sorted(runs) for name, runs in found.items()}

    both = ["full", "no-eye"]
    for _ in range(2):
        sweep("first")
        sync(place)
        assert held() == {"ablation": both}
    sweep("second")
    sync(place)
    assert held() == {"ablation": both, "ablation first": both}
    sweep("first")
    sync(place)
    assert held() == {"ablation": both, "ablation second": both} and records(place) == []


def test_what_mlflow_refuses_is_named_and_the_rest_arrives(place, store):
    unsent(place, {"kind": "metrics", "points": [["?", 1.0, 0]]}, {"kind": "tags", "values": {"a": "b"}})
    assert sync(place) == (1, 0)
    (run,) = all_runs(store)
    assert run.data.tags["a"] == "b" and run.data.tags["mfnet.refused"].startswith("metrics: ")


@pytest.mark.slow
def test_the_run_of_a_killed_process_ends_as_killed(place, store):
    for number in (signal.SIGKILL, signal.SIGTERM):
        sleeper = process(SLEEPER)
        assert sleeper.stdout.readline() == "recorded\n"
        os.killpg(sleeper.pid, number)  # its sender too
        sleeper.communicate()
    with tracking.run("sweep", "next", {}, {}):
        pass
    deadline = time.monotonic() + HANGS
    while records(place) and time.monotonic() < deadline:  # the next start sends what it finds beside its own
        sync(place)
    assert sorted((run.info.run_name, run.info.status) for run in all_runs(store)) == [
        ("next", "FINISHED"),
        ("sleeper", "KILLED"),
        ("sleeper", "KILLED"),
    ]


@pytest.mark.slow
def test_a_dead_server_costs_a_stage_nothing_but_a_line(place, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    with tracking.run("sweep", "one", {}, {}) as run:
        run.metrics({"x": 1.0})
    assert "mfnet track sync" in capsys.readouterr().err and len(records(place)) == 1
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        sync(place)
    assert len(records(place)) == 1


def test_a_silent_server_is_given_up(place, monkeypatch, capsys):
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:  # takes connections and never answers
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(tracking, "PATIENCE_WITH_SERVER", 1.0)
        with tracking.run("sweep", "one", {}, {}):
            pass
    assert "no answer within 1 s" in capsys.readouterr().err and len(records(place)) == 1


@pytest.mark.slow
def test_a_locked_database_is_given_up_and_served_later(place, store, monkeypatch):
    client_at(store)
    monkeypatch.setattr(tracking, "PATIENCE", 10.0)
    with closing(sqlite3.connect(place / "mlflow.db")) as busy:
        busy.execute("BEGIN EXCLUSIVE")
        with tracking.run("sweep", "one", {}, {}):
            pass
        assert len(records(place)) == 1
    assert sync(place) == (1, 0) and len(all_runs(store)) == 1


@pytest.mark.parametrize("limit", [0, 700])
def test_a_full_disk_does_not_end_a_stage(place, limit):
    """No file of the process may grow beyond `limit` bytes, the outbox's neither."""
    stage = process(
        f"""
        import resource
        from mfnet import tracking
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
        with tracking.run("sweep", "one", {{"a": "b" * 300}}, {{}}) as run:
            run.metrics({{"x": 1.0}})
            run.tags({{"long": "a" * 1000}})
            run.file("a" * 1000, "notes.txt")
        print("done")
        """
    )
    output, errors = stage.communicate()
    assert (stage.returncode, output) == (0, "done\n") and "tracking: " in errors


@pytest.mark.slow
def test_a_server_killed_under_a_run_gets_the_same_run_afterwards(place, monkeypatch):
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{place / 'server.db'}"]

    def serve() -> subprocess.Popen:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = subprocess.Popen(command, start_new_session=True, **quiet)
        deadline = time.monotonic() + HANGS
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{uri}/health", timeout=5):
                    return server
            except OSError:
                time.sleep(0.5)
        raise AssertionError("no server")

    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    server = serve()
    try:
        with tracking.run("sweep", "one", {}, {}) as run:
            run.metrics({"x": 1.0})
            deadline = time.monotonic() + HANGS
            while not (found := all_runs(uri)) and time.monotonic() < deadline:
                time.sleep(0.5)
            os.killpg(server.pid, signal.SIGKILL)
            run.metrics({"x": 2.0}, step=1)
        assert len(records(place)) == 1 and not (place / "mlflow.db").exists()
        server = serve()
        assert sync(place) == (1, 0)
        (after,) = all_runs(address(place))
        assert after.info.run_id == found[0].info.run_id
        assert after.info.status == "FINISHED" and after.data.metrics == {"x": 2.0}
    finally:
        os.killpg(server.pid, signal.SIGKILL)
