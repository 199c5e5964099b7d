"""The pipeline at the size of a test: how its commands are run, and what came of them."""

import os
import subprocess
import sys
from pathlib import Path

import yaml


def environment() -> dict[str, str]:
    """The stages must import the copy's code, whatever is installed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTHONPATH": ".", "DVC_NO_ANALYTICS": "1"}


def run(folder: Path, *command: str, fails: bool = False) -> str:
    """Output of a command; its exit status must be as told."""
    done = subprocess.run(
        command, cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert (done.returncode != 0) == fails, done.stdout[-4000:]
    return done.stdout


def hashes(folder: Path) -> dict[str, str]:
    """Path -> MD5 of every output in dvc.lock."""
    stages = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}
