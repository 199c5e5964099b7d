"""MLflow runs carry what ties them to DVC, and the audit joins the two by content."""

import math

import numpy as np
import pandas as pd
import pytest
import yaml

from mfnet import tracking
from mfnet.errors import InputError


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


def tags(stage: str, dep: str, out: str) -> dict[str, str]:
    return {
        "dvc.stage": stage,
        "git.revision": "abc",
        tracking.DEP + "data/in": dep,
        tracking.OUT + "data/out": out,
    }


def lock(folder, out: str, dep: str):
    path = folder / "dvc.lock"
    record = {"deps": [{"path": "data/in", "md5": dep}], "outs": [{"path": "data/out", "md5": out}]}
    path.write_text(yaml.safe_dump({"schema": "2.0", "stages": {"train": record, "head": {"cmd": "x"}}}))
    return path


def test_a_run_keeps_params_metrics_and_status(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tracking.run("kept", "full", {"loss": {"flow": 1.0}}, {"a": "b"}, store) as run:
        run.metrics({"loss/total": 2.0, "loss/flow": math.nan, "CD": None, "lab/f=300/CD": 1.0}, step=3)
    with pytest.raises(RuntimeError), tracking.run("kept", "broken", {}, {}, store):
        raise RuntimeError
    finished, failed = sorted(tracking._all_runs(store), key=lambda run: run.info.run_name != "full")[:2]
    assert finished.data.params == {"loss.flow": "1.0"} and finished.data.metrics == {
        "loss/total": 2.0,
        "lab/f_300/CD": 1.0,
    }
    assert (finished.info.status, failed.info.status) == ("FINISHED", "FAILED")


def test_audit_tells_which_run_made_an_output(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tracking.run("sweep", "old", {}, tags("train", "d0", "o1"), store):
        pass
    with tracking.run("sweep", "new", {}, tags("train", "d1", "o1"), store):
        pass
    (row,) = tracking.audit(lock(tmp_path, "o1", "d1"), store).to_dict("records")
    assert (row["status"], row["run"], row["revision"]) == ("match", "new", "abc")
    (row,) = tracking.audit(lock(tmp_path, "o1", "d9"), store).to_dict("records")
    assert row["status"] == "other inputs"
    (row,) = tracking.audit(lock(tmp_path, "o9", "d1"), store).to_dict("records")
    assert (row["status"], row["run"]) == ("no run", "")


def test_an_output_of_a_stage_without_runs_is_untracked(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = lock(tmp_path, "o1", "d1")
    path.write_text(path.read_text().replace("train:", "nobody:"))
    (row,) = tracking.audit(path, store).to_dict("records")
    assert (row["stage"], row["path"], row["status"], row["revision"]) == ("nobody", "data/out", "untracked", "")


def test_audit_names_what_is_missing(tmp_path, store):
    with pytest.raises(InputError, match=r"dvc\.lock"):
        tracking.audit(tmp_path / "dvc.lock", store)
    with pytest.raises(InputError, match=r"none\.db"):
        tracking.audit(lock(tmp_path, "o", "d"), f"sqlite:///{tmp_path / 'none.db'}")


def test_histories_become_curves(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = np.arange(2 * tracking.CURVE_POINTS + 1)
    table = pd.DataFrame({"step": steps, "total": 1.0 / (1 + steps), "share/flow": np.where(steps % 2, np.nan, 0.5)})
    with tracking.run("curves", "long", {}, {}, store) as run:
        run.curves(table, "step")
        run.curves(table.iloc[:2], "short")
        run.curves(table.iloc[:0], "empty")
    points = run.client.get_metric_history(run.id, "step/total")
    assert len(points) <= tracking.CURVE_POINTS and {point.step for point in points} <= set(steps.tolist())
    assert all(point.value == pytest.approx(1 / (1 + point.step)) for point in points)
    assert [point.step for point in run.client.get_metric_history(run.id, "short/share/flow")] == [0]
