"""Small DVC workspaces, and a Prefect server for all tests that run flows in them."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from prefect.settings import PREFECT_API_URL, temporary_settings

from mfnet.profiles import write_profile
from pipelines.server import prefect_server
from tests.pipeline.tiny import run

ROOT = Path(__file__).parents[2]

TOY = """
stages:
  last:
    cmd: cat first middle > last && echo done with last
    deps: [first, middle]
    outs: [last]
  middle:
    cmd: cat first > middle
    deps: [first]
    outs: [middle]
  first:
    cmd: echo {word} > first
    params: [word]
    outs: [first]
  slow:
    cmd: echo started && sleep 600
    outs: [slow]
  wrong:
    cmd: echo this is why && exit 3
    outs: [wrong]
  refused:
    cmd: >-
      python -c "import sys; open('tries', 'a').write('x');
      sys.exit('ingest.py: error: source.multipie: no such folder')"
    outs: [refused]
  crashed:
    cmd: >-
      python -c "open('tries', 'a').write('x'); print('ingest.py: error: half a story', flush=True); 1 / 0"
    outs: [crashed]
""".replace("{word}", "${word}")


DIAMOND = """
stages:
  tail: {cmd: sleep 0.3; cat left right > tail, deps: [left, right], outs: [tail]}
  head: {cmd: "sleep 0.3; echo ${word} > head", params: [word], outs: [head]}
  left: {cmd: sleep 0.3; cat head > left, deps: [head], outs: [left]}
  right: {cmd: sleep 0.3; cat head head > right, deps: [head], outs: [right]}
  alone: {cmd: sleep 0.3; echo alone > alone, outs: [alone]}
  after: {cmd: sleep 0.3; cat alone > after, deps: [alone], outs: [after]}
"""
"""head, then left and right, then tail; and beside them alone, then after."""


def made(folder: Path, stages: str, monkeypatch) -> Path:
    """A git and DVC workspace, which is the working folder for the rest of a test."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(folder)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["dvc", "config", "core.analytics", "false"]):
        subprocess.run(command, check=True)
    (folder / "dvc.yaml").write_text(stages)
    (folder / "params.yaml").write_text("word: hello\n")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "start"], check=True)
    return folder


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    """A git and DVC workspace with the stages first -> middle -> last, slow (sleeps), wrong (fails), refused and
    crashed (bad input and a defect; each try leaves an x in the file ``tries``)."""
    return made(tmp_path, TOY, monkeypatch)


@pytest.fixture
def diamond(tmp_path, monkeypatch) -> Path:
    """A git and DVC workspace with the stages of DIAMOND."""
    return made(tmp_path, DIAMOND, monkeypatch)


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory):
    """Environment for processes that run flows: a Prefect server of the tests' own, and this checkout's code."""
    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(home))
        with temporary_settings(restore_defaults={PREFECT_API_URL}), prefect_server() as address:
            yield {"PREFECT_API_URL": address, "PREFECT_HOME": str(home), "PYTHONPATH": str(ROOT)}


def orphaned_servers() -> set[int]:
    """Process ids of Prefect servers whose flow or command has ended."""
    found = set()
    for process in psutil.process_iter(["cmdline", "ppid"]):
        words = " ".join(process.info["cmdline"] or [])
        if process.info["ppid"] == 1 and "server" in words and ("prefect" in words or "pipelines" in words):
            found.add(process.pid)
    return found


@pytest.fixture(scope="session", autouse=True)
def no_server_stays_behind():
    """A flow starts a server of its own; it must end with the flow."""
    before = orphaned_servers()
    yield
    deadline = time.monotonic() + 60
    while left := orphaned_servers() - before:
        assert time.monotonic() < deadline, f"Prefect servers were left running: processes {sorted(left)}"
        time.sleep(1)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the tracked files with the tiny profile, as a git and DVC workspace of its own."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    write_profile("tiny", folder / "params.yaml", folder / "params")
    (folder / "dvc.lock").unlink(missing_ok=True)
    run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "tiny")
    return folder


@pytest.fixture(scope="module")
def rebuilt(checkout, tmp_path_factory, worker_id) -> Path:
    """The checkout after one run of the Prefect flow. The first module that asks makes it; others get a copy."""
    base = tmp_path_factory.getbasetemp()
    kept = (base if worker_id == "master" else base.parent) / "rebuilt"
    with FileLock(f"{kept}.lock"):
        if not kept.is_dir():
            log = run(checkout, sys.executable, "-m", "pipelines.rebuild")
            assert "Completed('rebuild: done')" in log
            shutil.copytree(checkout, kept, symlinks=True)
            return checkout
    shutil.rmtree(checkout)
    shutil.copytree(kept, checkout, symlinks=True)
    return checkout
