"""A finished DVC workspace of two tracked stages: raw files -> plan (a table) -> crops (a folder and metrics)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

CODE = """
import json
import os
import sys
from pathlib import Path

import pandas as pd
import yaml

from stages.provenance import tracked

params = yaml.safe_load(Path("params.yaml").read_text())


def plan(record):
    rows = params["plan"]["rows"]
    sizes = [len(path.read_text()) for path in sorted(Path("data/raw").iterdir())]
    subjects = [row % 3 for row in range(rows)]
    table = pd.DataFrame({"triplet": range(rows), "subject": subjects, "yaw": float(sum(sizes))})
    table.to_parquet("data/plan.parquet", index=False)


def crops(record):
    table = pd.read_parquet("data/plan.parquet")
    Path("data/crops").mkdir(exist_ok=True)
    for subject, rows in table.groupby("subject"):
        Path(f"data/crops/{subject}.txt").write_text(str(len(rows)))
    Path("data/crops.json").write_text(json.dumps({"count": len(table)}))


with tracked(os.environ["DVC_STAGE"], params) as record:
    {"plan": plan, "crops": crops}[sys.argv[1]](record)
"""
STAGES = """
stages:
  plan:
    cmd: {python} work.py plan
    deps: [work.py, data/raw]
    params: [plan, other.deep]
    outs: [data/plan.parquet]
  crops:
    cmd: {python} work.py crops
    deps: [work.py, data/plan.parquet]
    outs: [data/crops]
    metrics: [data/crops.json: {cache: false}]
"""
ENVIRONMENT = {
    "DVC_NO_ANALYTICS": "1",
    "PYTHONPATH": str(REPOSITORY),
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
}


def shell(folder: Path, *command: str) -> str:
    """Output of a command that must succeed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | ENVIRONMENT | {"PATH": path}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The workspace after two commits: `HEAD~1` has a row less in the plan than `HEAD`."""
    root = tmp_path_factory.mktemp("finished")
    (root / "data" / "raw").mkdir(parents=True)
    for name in "ab":
        (root / "data" / "raw" / f"{name}.txt").write_text(name)
    (root / "work.py").write_text(CODE)
    (root / "dvc.yaml").write_text(STAGES.replace("{python}", sys.executable))
    (root / ".gitignore").write_text("mlflow.db*\nmlartifacts\n.mfnet\ndata/raw\n")
    shell(root, "git", "init", "-q")
    shell(root, "dvc", "init", "-q")
    for rows in (9, 10):
        (root / "params.yaml").write_text(f"plan:\n  rows: {rows}\nother:\n  deep: 1\n  unused: 2\n")
        shell(root, "dvc", "repro", "-q")
        shell(root, "git", "add", "-A")
        shell(root, "git", "commit", "-qm", f"{rows} rows")
    return root


@pytest.fixture
def root(finished, tmp_path, monkeypatch) -> Path:
    """A copy of it, in which the process stands."""
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy, symlinks=True)
    monkeypatch.chdir(copy)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return copy
