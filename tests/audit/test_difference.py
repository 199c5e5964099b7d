"""Two revisions, runs or tables against each other."""

import json

import numpy as np
import pandas as pd

from mfnet.audit.difference import row_changes
from mfnet.cli.main import main
from mfnet.runs.store import address, all_runs


def difference(capsys, a: str, b: str) -> dict:
    capsys.readouterr()
    main(["audit", "--diff", a, b, "--json"])
    return json.loads(capsys.readouterr().out)


def test_two_revisions_differ_by_rows_params_and_metrics(root, capsys):
    shown = difference(capsys, "HEAD~1", "HEAD")
    assert {(row["path"], row["change"]) for row in shown["data"]} == {
        ("data/plan.parquet", "changed"),
        ("data/crops", "changed"),
        ("data/crops.json", "changed"),
    }
    rows = {(row["path"], row["change"], row["key"], row["rows"]) for row in shown["rows"]}
    assert ("data/plan.parquet", "added", "triplet", "9") in rows
    assert ("data/crops/0.txt", "changed", "", "") in rows
    assert shown["params"] == [{"param": "plan: plan.rows", "HEAD~1": "9", "HEAD": "10"}] and shown["code"] == []
    assert shown["metrics"] == [{"metric": "data/crops.json: count", "HEAD~1": 9, "HEAD": 10, "change": 1}]


def test_two_runs_and_the_workspace_can_be_compared(root, capsys):
    new, old = [run.info.run_id for run in all_runs(address(root)) if run.info.run_name == "plan"]
    assert [row["count"] for row in difference(capsys, old, new)["rows"]] == [1]
    assert not any(difference(capsys, "HEAD", ".").values())


def test_an_edit_of_code_between_revisions_is_named(root, capsys):
    lock = (root / "dvc.lock").read_text()
    md5 = next(
        row["HEAD"] for row in difference(capsys, "HEAD~1", "HEAD")["data"] if row["path"] == "data/plan.parquet"
    )
    (root / "dvc.lock").write_text(lock.replace("path: work.py", "path: other.py"))
    assert md5 in lock
    assert {row["path"] for row in difference(capsys, "HEAD", ".")["code"]} == {"work.py", "other.py"}


def test_rows_are_named_by_the_least_columns_that_tell_them_apart():
    a = pd.DataFrame({"subject": [1, 1, 2], "view": ["l", "r", "l"], "x": [0.1, 0.2, np.nan], "v": [np.ones(2)] * 3})
    b = a.copy()
    assert row_changes("t", a, b) == []
    b.loc[1, "x"] = 0.3
    (found,) = row_changes("t", a, b)
    assert (found["key"], found["change"], found["rows"]) == ("subject, view", "changed", "1, r")
    (found,) = row_changes("t", a, a.iloc[:2])
    assert (found["change"], found["count"], found["rows"]) == ("removed", 1, "2, l")
    (found,) = row_changes("t", a, a.assign(new=1))
    assert found["change"] == "column new added"


def test_rows_without_a_name_are_counted():
    a = pd.DataFrame({"x": [1.0, 1.0, 2.0]})
    (found,) = row_changes("t", a, a.iloc[1:])
    assert (found["change"], found["count"]) == ("removed", 1)
