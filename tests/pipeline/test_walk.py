"""What a walk says of itself, and how many stages it lets run."""

import pytest

from pipelines import walk
from pipelines.dvc_stages import Dag
from pipelines.walk import Walk, default_jobs

GIB = 1 << 30


@pytest.mark.parametrize(
    ("params", "cores", "free", "jobs"),
    [
        ("train: {threads: 1}", 2, 20, 2),
        ("train: {threads: 4}", 16, 200, 4),
        ("train: {threads: 4}", 2, 200, 1),
        ("train: {threads: 1}", 16, 20, 5),
        ("train: {threads: 1}", 16, 1, 1),
        ("word: hello", 3, 64, 3),
    ],
)
def test_jobs_are_bounded_by_cores_and_memory(tmp_path, monkeypatch, params, cores, free, jobs):
    (tmp_path / "params.yaml").write_text(params)
    monkeypatch.setattr("mfnet.compute.executor.usable_cores", lambda: cores)
    monkeypatch.setattr(walk.psutil, "virtual_memory", lambda: type("Memory", (), {"available": free * GIB}))
    assert default_jobs(tmp_path) == jobs


def test_a_walk_says_what_went_wrong_first():
    done = Walk(Dag({}, frozenset()), errors=["a: no such file"])
    assert done.verdict() == "a: no such file"
    done = Walk(Dag({}, frozenset()), errors=["a: no such file", "b: crashed"], left_out=["c", "d"])
    assert done.verdict() == "a: no such file; 1 more failed; not reached: c, d"
    assert Walk(Dag({}, frozenset())).verdict() == ""


def test_the_table_has_every_stage():
    dag = Dag({"a": [], "b": ["a"], "c": []}, frozenset({"a"}))
    done = Walk(dag, {"a": "Built", "c": "Unchanged"}, {"a": 1.25}, ["b: bad"], ["d"], wall=2.0)
    assert done.rows() == [
        {"stage": "a", "state": "Built", "seconds": 1.2},
        {"stage": "c", "state": "Unchanged", "seconds": 0.0},
        {"stage": "d", "state": "Not reached", "seconds": 0.0},
    ]
    assert done.summary() == "critical path 1.2 s: a 1.2 (1.2 s of stages in 2.0 s)"
    assert Walk(dag, wall=0.5).summary() == "all up to date, 0.5 s"
