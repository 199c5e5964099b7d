"""A DVC workspace of three toy stages."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

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


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    """A git and DVC workspace with the stages first -> middle -> last, slow (sleeps), wrong (fails), refused and
    crashed (bad input and a defect; each try leaves an x in the file ``tries``)."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["dvc", "config", "core.analytics", "false"]):
        subprocess.run(command, check=True)
    (tmp_path / "dvc.yaml").write_text(TOY)
    (tmp_path / "params.yaml").write_text("word: hello\n")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "start"], check=True)
    return tmp_path


def orphaned_servers() -> set[int]:
    """Process ids of Prefect servers whose flow or command has ended."""
    found = set()
    for process in psutil.process_iter(["cmdline", "ppid"]):
        words = " ".join(process.info["cmdline"] or [])
        if process.info["ppid"] == 1 and "prefect" in words and "server" in words:
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
