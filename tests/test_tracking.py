"""What a run holds of what it is told."""

import math

import numpy as np
import pandas as pd
import pytest

from mfnet import tracking
from mfnet.runs.store import client_at
from tests.runs.conftest import place, sent_runs, store  # noqa: F401


def test_a_run_keeps_params_metrics_and_status(store):  # noqa: F811
    with tracking.run("kept", "full", {"loss": {"flow": 1.0}}, {"a": "b"}) as run:
        run.metrics({"loss/total": 2.0, "CD": None, "lab/f=300/CD": 1.0}, step=3)
    with pytest.raises(RuntimeError), tracking.run("kept", "broken", {}, {}):
        raise RuntimeError
    finished, failed = sorted(sent_runs(store), key=lambda run: run.info.run_name != "full")
    assert finished.data.params == {"loss.flow": "1.0"} and finished.data.tags["a"] == "b"
    assert finished.data.metrics == {"loss/total": 2.0, "lab/f_300/CD": 1.0}
    assert (finished.info.status, failed.info.status) == ("FINISHED", "FAILED")


def test_what_is_not_finite_marks_the_run(store):  # noqa: F811
    with tracking.run("kept", "diverged", {}, {}) as run:
        run.metrics({"total": 1.0}, step=2)
        run.metrics({"total": math.nan}, step=3)
    with tracking.run("kept", "quiet", {}, {}) as run:
        run.curves(pd.DataFrame({"step": [0, 1], "share": [0.5, math.nan]}), "step")
    runs = {run.info.run_name: run for run in sent_runs(store)}
    assert math.isnan(runs["diverged"].data.metrics["total"])
    assert runs["diverged"].data.tags["diverged"] == "true"
    assert runs["diverged"].data.tags["diverged.first"] == "total at step 3"
    assert "diverged" not in runs["quiet"].data.tags and runs["quiet"].data.metrics == {"step/share": 0.5}


def test_histories_become_curves(store):  # noqa: F811
    steps = np.arange(2 * tracking.CURVE_POINTS + 1)
    table = pd.DataFrame({"step": steps, "total": 1.0 / (1 + steps), "share/flow": np.where(steps % 2, np.nan, 0.5)})
    with tracking.run("curves", "long", {}, {}) as run:
        run.curves(table, "step")
        run.curves(table.iloc[:2], "short")
        run.curves(table.iloc[:0], "empty")
    client, (found,) = client_at(store), sent_runs(store)
    points = client.get_metric_history(found.info.run_id, "step/total")
    assert len(points) <= tracking.CURVE_POINTS and {point.step for point in points} <= set(steps.tolist())
    assert all(point.value == pytest.approx(1 / (1 + point.step)) for point in points)
    assert [point.step for point in client.get_metric_history(found.info.run_id, "short/share/flow")] == [0]


def test_an_error_in_tracking_is_a_line_and_nothing_more(place, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(tracking.Run, "open", lambda *_, **__: 1 / 0)
    with tracking.run("kept", "one", {}, {}) as run:
        assert not run.active
        run.metrics({"x": 1.0})
        run.file("text", "notes.txt")
    assert capsys.readouterr().err == "tracking: start: ZeroDivisionError: division by zero\n"
