"""The MLflow store is made once, and its files are where it is."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest

from mfnet import tracking
from mfnet.runs.store import address, all_runs, client_at
from tests.runs.conftest import process


@pytest.mark.slow
def test_processes_that_meet_on_a_fresh_store_all_keep_their_runs(place, store):
    code = "from mfnet import tracking\nwith tracking.run('sweep', 'one', {'a': 1}, {}) as run: run.metrics({'x': 1.0})"
    started = [process(code) for _ in range(4)]
    ended = [(each.communicate(), each.returncode) for each in started]
    assert all(status == 0 for _, status in ended), ended
    runs = all_runs(store)
    assert [(run.info.status, run.data.metrics) for run in runs] == [("FINISHED", {"x": 1.0})] * 4
    assert len({run.info.experiment_id for run in runs}) == 1


def test_the_uri_of_a_server_is_honoured(place, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5999")
    assert address(place) == "http://127.0.0.1:5999"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place / 'other' / 'runs.db'}")
    (place / "other").mkdir()
    with tracking.run("sweep", "one", {}, {}):
        pass
    assert [run.info.status for run in all_runs(address(place))] == ["FINISHED"]
    assert not (place / "mlflow.db").exists()


@pytest.mark.slow
def test_a_copied_workspace_has_its_own_artifacts(place, store, tmp_path, monkeypatch):
    with tracking.run("sweep", "one", {}, {}) as run:
        run.picture(np.zeros((2, 2, 3), np.uint8), "people/a.png")
    copy = tmp_path / "a copy"
    shutil.copytree(place, copy)
    shutil.rmtree(place)
    monkeypatch.chdir(copy)
    with tracking.run("sweep", "two", {}, {}) as run:
        run.picture(np.zeros((2, 2, 3), np.uint8), "people/a.png")
    runs = all_runs(address(copy))
    client = client_at(address(copy))
    assert {run.info.run_name for run in runs} == {"one", "two"} and not place.exists()
    for run in runs:
        assert [file.path for file in client.list_artifacts(run.info.run_id, "people")] == ["people/a.png"]
        assert Path(url2pathname(urlsplit(run.info.artifact_uri).path)).is_relative_to(copy)
