"""Each kind of planted damage ends in status 1 and names file and kind; an intact workspace in 0."""

import json
import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import yaml

from mfnet.cli.main import main
from tests.audit.conftest import shell


def findings(capsys) -> list[dict]:
    """What `mfnet audit` finds; its exit status must agree."""
    capsys.readouterr()
    status = 0
    try:
        main(["audit", "--json"])
    except SystemExit as ended:
        status = ended.code
    found = json.loads(capsys.readouterr().out)["findings"]
    assert bool(found) == bool(status)
    return found


def kinds(capsys) -> set[tuple[str, str]]:
    return {(each["path"], each["kind"]) for each in findings(capsys)}


def flip(path: Path) -> None:
    """Change one byte and keep every time that a file system tells."""
    before = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    path.chmod(before.st_mode)


def cached(root: Path, out: str) -> Path:
    """The version of a file, or of the first file of a folder, in the cache."""
    stages = yaml.safe_load((root / "dvc.lock").read_text())["stages"].values()
    (md5,) = (entry["md5"] for stage in stages for entry in stage["outs"] if entry["path"] == out)
    place = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    if md5.endswith(".dir"):
        inner = json.loads(place.read_text())[0]["md5"]
        return root / ".dvc/cache/files/md5" / inner[:2] / inner[2:]
    return place


def test_an_intact_workspace_has_every_output_and_nothing_to_say(root, capsys):
    main(["audit", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert shown["findings"] == []
    assert {(row["path"], row["status"], row["git.dirty"]) for row in shown["outputs"]} == {
        ("data/plan.parquet", "match", "true"),
        ("data/crops", "match", "true"),
        ("data/crops.json", "match", "true"),
    }
    for form in ("--markdown", None):
        main(["audit", *([form] if form else [])])
        assert "data/plan.parquet" in capsys.readouterr().out


def test_a_flipped_bit_is_found_though_times_are_kept(root, capsys):
    flip(root / "data/plan.parquet")
    shell(root, "dvc", "status")  # what DVC remembers must not matter
    assert kinds(capsys) == {("data/plan.parquet", "changed")}


def test_a_flipped_bit_in_the_cache_is_found(root, capsys):
    flip(cached(root, "data/plan.parquet"))
    assert kinds(capsys) == {("data/plan.parquet", "damaged")}


def test_a_flipped_bit_in_a_file_of_a_cached_folder_is_found(root, capsys):
    flip(cached(root, "data/crops"))
    assert kinds(capsys) == {("data/crops/0.txt", "damaged")}


def test_a_lost_version_is_found(root, capsys):
    cached(root, "data/plan.parquet").unlink()
    (found,) = findings(capsys)
    assert (found["path"], found["kind"]) == ("data/plan.parquet", "lost") and "dvc fetch" in found["remedy"]


def test_a_table_with_a_row_less_is_found(root, capsys):
    table = pd.read_parquet(root / "data/plan.parquet")
    table.iloc[:-1].to_parquet(root / "data/plan.parquet", index=False)
    (found,) = findings(capsys)
    assert (found["path"], found["kind"]) == ("data/plan.parquet", "changed")
    assert found["detail"] == "10 rows recorded, 9 here" and found["remedy"] == "dvc checkout data/plan.parquet"


def test_a_file_too_much_in_a_folder_is_found(root, capsys):
    (root / "data/crops/new.txt").write_text("x")
    (found,) = findings(capsys)
    assert (found["path"], found["detail"]) == ("data/crops", "1 added: new.txt")


def test_an_output_that_is_gone_is_found(root, capsys):
    shutil.rmtree(root / "data/crops")
    assert kinds(capsys) == {("data/crops", "missing")}


def test_a_metrics_file_that_was_edited_is_found(root, capsys):
    (root / "data/crops.json").write_text(json.dumps({"count": 99}))
    assert kinds(capsys) == {("data/crops.json", "changed")}


def test_changed_params_are_found(root, capsys):
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("unused: 2", "unused: 3"))
    assert findings(capsys) == []
    (root / "params.yaml").write_text(text.replace("rows: 10", "rows: 11").replace("deep: 1", "deep: [1]"))
    assert {(found["path"], found["kind"], found["detail"]) for found in findings(capsys)} == {
        ("params.yaml:plan", "params", "plan.rows: 10 -> 11"),
        ("params.yaml:other.deep", "params", "other.deep: 1 -> [1]"),
    }


def test_changed_code_is_found(root, capsys):
    with (root / "work.py").open("a") as opened:
        opened.write("# edited\n")
    assert kinds(capsys) == {("work.py", "code")}


def test_changed_raw_files_are_found(root, capsys):
    flip(root / "data/raw/a.txt")
    assert kinds(capsys) == {("data/raw", "input")}


def test_a_changed_command_is_found(root, capsys):
    text = (root / "dvc.yaml").read_text()
    (root / "dvc.yaml").write_text(text.replace("work.py crops", "work.py crops --fast"))
    assert kinds(capsys) == {("dvc.yaml", "command")}


def test_an_edited_lock_is_found(root, capsys):
    """The inputs of a stage must be what the stage before it has made."""
    lock = yaml.safe_load((root / "dvc.lock").read_text())
    lock["stages"]["crops"]["deps"][0]["md5"] = "0" * 32
    (root / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert ("data/plan.parquet", "lock") in kinds(capsys)
    del lock["stages"]["crops"]
    (root / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert kinds(capsys) == {("dvc.lock", "never run")}


def test_a_deleted_run_is_found(root, capsys):
    with closing(sqlite3.connect(root / "mlflow.db")) as database, database:
        database.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE name = 'crops'")
    (found,) = findings(capsys)
    assert (found["stage"], found["kind"]) == ("crops", "run")


@pytest.mark.slow
def test_a_pulled_clone_without_a_store_is_audited_without_its_runs(root, tmp_path, monkeypatch, capsys):
    shell(root, "dvc", "remote", "add", "-q", "-d", "shared", str(tmp_path / "remote"))
    shell(root, "git", "commit", "-qam", "remote")
    shell(root, "dvc", "push", "-q")
    clone = tmp_path / "clone"
    shell(tmp_path, "git", "clone", "-q", str(root), str(clone))
    shell(clone, "dvc", "pull", "-q")
    shutil.copytree(root / "data/raw", clone / "data/raw")
    monkeypatch.chdir(clone)
    main(["audit", "--json"])
    rows = json.loads(capsys.readouterr().out)["outputs"]
    assert {row["status"] for row in rows} == {"runs not here"} and not (clone / "mlflow.db").exists()
    main(["audit", "crops"])
    assert re.search(r"data/raw +[0-9a-f]{32}\.dir", capsys.readouterr().out)


def test_without_a_lock_the_audit_says_what_to_do(root):
    (root / "dvc.lock").unlink()
    with pytest.raises(SystemExit) as ended:
        main(["audit"])
    assert "dvc repro" in ended.value.code
