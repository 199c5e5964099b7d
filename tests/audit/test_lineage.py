"""From a run back to the raw files, by the ids of runs or by the lock."""

import json

import pytest

from mfnet.audit.hashing import file_md5
from mfnet.cli.main import main
from mfnet.runs.store import address, all_runs


def lineage(capsys, name: str) -> dict:
    capsys.readouterr()
    main(["audit", name, "--json"])
    return json.loads(capsys.readouterr().out)


def test_a_run_leads_back_to_every_raw_file_and_to_the_code(root, capsys):
    newest = next(run for run in all_runs(address(root)) if run.info.run_name == "crops")
    shown = lineage(capsys, newest.info.run_id[:12])
    assert [row["stage"] for row in shown["steps"]] == ["crops", "plan"]
    assert all(row["run"] and row["revision"] for row in shown["steps"])
    sources = {row["path"]: row["md5"] for row in shown["sources"]}
    assert sources["work.py"] == file_md5(root / "work.py") and sources["data/raw"].endswith(".dir")
    assert {"data/plan.parquet", "data/crops/0.txt"} <= {row["path"] for row in shown["made on the way"]}
    assert ("plan.rows", "10") in {(row["key"], row["value"]) for row in shown["params"]}


def test_an_older_run_leads_back_to_its_own_inputs(root, capsys):
    oldest = [run for run in all_runs(address(root)) if run.info.run_name == "crops"][-1]
    shown = lineage(capsys, oldest.info.run_id)
    assert {row["value"] for row in shown["params"] if row["key"] == "plan.rows"} == {"9"}


def test_an_unknown_name_is_refused_with_what_there_is(root):
    with pytest.raises(SystemExit) as ended:
        main(["audit", "nobody"])
    assert "nobody" in ended.value.code and "plan, crops" in ended.value.code
