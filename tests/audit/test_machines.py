"""Locks of two machines: which stage parts first, and whether it may."""

import json
from pathlib import Path

import pytest
import yaml

from mfnet.audit.machines import compared, read_lock
from mfnet.cli.main import main
from mfnet.errors import InputError


def workspace(folder: Path, outs: dict[str, str], rate: float = 0.1, code: str = "c0", error: float = 2.0) -> Path:
    """A folder with a dvc.lock of four stages and the metrics file of one; outs: path -> MD5 in place of the usual."""

    def entries(*paths: str) -> list[dict]:
        usual = {"train.py": code}
        return [{"path": path, "md5": outs.get(path, usual.get(path, f"md5 of {path}"))} for path in paths]

    stages = {
        "capture": {"cmd": "c", "deps": entries("capture.py"), "outs": entries("data/raw")},
        "train": {
            "cmd": "t",
            "deps": entries("train.py", "data/raw"),
            "params": {"params.yaml": {"train": {"lr": rate}}},
            "outs": entries("data/model", "data/metrics.json"),
        },
        "report": {"cmd": "r", "deps": entries("data/model"), "outs": entries("data/report")},
    }
    (folder / "data").mkdir(parents=True)
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False))
    (folder / "data/metrics.json").write_text(json.dumps({"error": {"mm": error}, "steps": 26}))
    return folder / "dvc.lock"


def verdicts(a: Path, b: Path) -> dict[str, str]:
    rows = compared(a.parent, read_lock(a), b.parent, read_lock(b))
    return {row["stage"]: row["verdict"] for row in rows}


NETWORK = {"data/model": "m1", "data/metrics.json": "j1"}


@pytest.mark.parametrize(
    ("outs", "error", "wanted"),
    [
        ({}, 2.0, {"capture": "equal", "train": "equal", "report": "equal"}),
        ({"data/raw": "x"}, 2.0, {"capture": "data differ", "train": "equal", "report": "equal"}),
        (
            NETWORK | {"data/report": "p1"},
            2.05,
            {"capture": "equal", "train": "figures within tolerance", "report": "differs as its inputs do"},
        ),
        (NETWORK, 2.5, {"capture": "equal", "train": "figures beyond tolerance", "report": "equal"}),
        ({"data/report": "p1"}, 2.0, {"capture": "equal", "train": "equal", "report": "differs from equal inputs"}),
    ],
)
def test_each_stage_has_its_verdict(tmp_path, outs, error, wanted):
    mine, theirs = workspace(tmp_path / "a", {}), workspace(tmp_path / "b", outs, error=error)
    assert verdicts(mine, theirs) == wanted


@pytest.mark.parametrize("change", [{"rate": 0.2}, {"code": "c1"}])
def test_other_code_or_params_are_no_matter_of_the_machine(tmp_path, change):
    mine, theirs = workspace(tmp_path / "a", {}), workspace(tmp_path / "b", NETWORK, **change)
    assert verdicts(mine, theirs)["train"] == "other code or params"


def test_the_command_ends_as_the_table_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(workspace(tmp_path / "a", {}).parent)
    main(["audit", "--lock", str(workspace(tmp_path / "b", NETWORK, error=2.05))])
    assert "first stage that differs: train" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["audit", "--lock", str(workspace(tmp_path / "c", {"data/raw": "x"}))])
    assert "c/dvc.lock: not the same" in str(ended.value.code)
    assert "first stage that differs: capture" in capsys.readouterr().err


def test_a_lock_without_its_metrics_or_that_is_none_is_refused(tmp_path):
    mine, theirs = workspace(tmp_path / "a", {}), workspace(tmp_path / "b", NETWORK)
    (tmp_path / "b/data/metrics.json").unlink()
    with pytest.raises(InputError, match=r"b/data/metrics\.json: cannot be read"):
        verdicts(mine, theirs)
    for text in ("", "[]", "stages: 3", "stages: {a: {outs: 5}}", "{"):
        theirs.write_text(text)
        with pytest.raises(InputError, match=r"b/dvc.lock: "):
            read_lock(theirs)
    with pytest.raises(InputError, match="cannot be read"):
        read_lock(tmp_path / "none")
