"""A workspace with an outbox and a store of its own."""

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mfnet.runs.outbox import workspace
from mfnet.runs.sender import sync
from mfnet.runs.store import address, all_runs

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """An empty workspace, in which the process stands."""
    root = tmp_path / "workspace"
    (root / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(root)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


@pytest.fixture
def store(place) -> str:
    """The place's own store."""
    return address(place)


def sent_runs(store: str) -> list:
    """The runs of a store, once all are there: on a slow machine some wait for a sender that has more time."""
    while sync(workspace())[1]:
        time.sleep(0.1)
    return all_runs(store)


def process(code: str, **options) -> subprocess.Popen:
    """A Python process that runs `code` where the test stands, in a session of its own."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen(command, **(pipes | options))
