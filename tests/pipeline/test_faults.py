"""Planted faults in every stage: killed at random moments, no room on the disk, a folder that may not be written, files
that vanish, a clock set back.

Each stage of the DAG is run by its own command, on the tiny profile, from where DVC would start it: without its outs.
"""

import ctypes
import itertools
import os
import random
import resource
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from mfnet.io.files import file_hash
from tests.conftest import HANGS
from tests.pipeline.tiny import environment, hashes, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(6 * HANGS),
    pytest.mark.skipif("FAULTS" not in os.environ, reason="takes half an hour: make faults"),
]

NETWORKS = ("pretrained@encoder", "pretrained@flow", "pretrained@landmarks")
TABLES = ("ingest", "plan", "landmarks", "triplets")
STAGES = ("head", "capture", *NETWORKS, *TABLES, "train", "ablate", "benchmark", "report")
"""Of a matrix without a name here the first one."""
FIRST_LIFE, LIVES = 1.5, float(os.environ.get("LIVES", "2"))
"""Seconds that a stage lives at most before it is killed first, and how many times as long the next time: some three
kills of each stage here, `LIVES=1.3` asks for more."""
ROOM = 1024
"""Bytes that a file may have on a disk without room."""
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
"""Of Linux's prctl.h and capability.h. What is dropped from the bounding set is gone with the next program."""


class Stage:
    """One stage of a workspace whose outs are there."""

    def __init__(self, folder: Path, name: str) -> None:
        entries = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
        entry = next(entries[key] for key in entries if name in (key, key.split("@")[0]))
        self.folder, self.command = folder, shlex.split(entry["cmd"])
        self.outs = [folder / out["path"] for out in entry["outs"]]

    def contents(self) -> dict[str, str]:
        """Path -> hash of what is there of the outs; what is still being written begins with a dot."""
        files = [path for out in self.outs for path in ([out] if out.is_file() else sorted(out.rglob("*")))]
        return {str(path): file_hash(path) for path in files if path.is_file() and not path.name.startswith(".")}

    def remove(self) -> None:
        """As DVC does before it starts a stage."""
        for out in self.outs:
            shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)

    def start(self) -> subprocess.Popen:
        return subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=environment(),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def stage(rebuilt, tmp_path):
    """Gives a stage by its name; its outs come back after the test, whatever became of them."""
    given, saved = [], tmp_path / "saved"

    def give(name: str) -> Stage:
        found = Stage(rebuilt, name)
        for number, out in enumerate(found.outs):
            copy = shutil.copytree if out.is_dir() else shutil.copy2
            saved.mkdir(exist_ok=True)
            copy(out, saved / str(number))
        given.append(found)
        return found

    yield give
    for found in given:
        found.remove()
        for number, out in enumerate(found.outs):
            shutil.move(saved / str(number), out)


def wait_for_session(leader: int) -> None:
    """Until no process is left that `leader`, of a session of its own, has started."""
    deadline = time.monotonic() + HANGS
    while left := [each.pid for each in psutil.process_iter() if _session(each.pid) == leader]:
        assert time.monotonic() < deadline, f"processes {left} outlive their stage"
        time.sleep(0.1)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_killed_at_any_moment_ends_in_the_same_bytes(stage, name):
    victim, moments = stage(name), random.Random(name)
    whole, life = victim.contents(), FIRST_LIFE
    for number in itertools.cycle((signal.SIGKILL, signal.SIGTERM)):
        victim.remove()
        process = victim.start()
        try:
            _, said = process.communicate(timeout=life * moments.uniform(0.5, 1))
            assert process.returncode == 0, said[-2000:]
            break
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            process.communicate()
        wait_for_session(process.pid)
        assert victim.contents().items() <= whole.items()
        life *= LIVES
    assert victim.contents() == whole


def no_room() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))


@pytest.mark.parametrize("name", STAGES)
def test_a_disk_without_room_is_one_line_and_no_half_file(stage, name):
    victim = stage(name)
    whole = victim.contents()
    victim.remove()
    done = subprocess.run(
        victim.command, cwd=victim.folder, env=environment(), preexec_fn=no_room, text=True, capture_output=True
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-3000:]
    assert "cannot be written (File too large); make room on its disk" in done.stderr.strip().splitlines()[-1]
    assert victim.contents().items() <= whole.items()


def without_override() -> None:
    """Take root's leave to ignore the modes of files; others never had it."""
    for leave in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, leave, 0, 0, 0)


def refused(victim: Stage) -> str:
    """The one line with which a stage ends that heeds the modes of files."""
    settings = {"cwd": victim.folder, "env": environment(), "preexec_fn": without_override}
    done = subprocess.run(victim.command, **settings, text=True, capture_output=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-3000:]
    (line,) = [line for line in done.stderr.splitlines() if "error:" in line]
    return line


@pytest.mark.parametrize("name", ["plan", "train", "report"])
def test_a_folder_that_may_not_be_written_is_one_line(stage, name):
    victim = stage(name)
    folder = victim.outs[0].parent
    victim.remove()
    folder.chmod(0o555)
    try:
        line = refused(victim)
    finally:
        folder.chmod(0o755)
    assert "cannot be written (Permission denied); let this user write to data" in line


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("plan", "data/multipie/manifest.parquet"),
        ("pretrained@encoder", "data/head/head.npz"),
        ("train", "data/pretrained/encoder.safetensors"),
    ],
)
def test_an_input_that_may_not_be_read_is_one_line(rebuilt, stage, name, file):
    victim, shut = stage(name), rebuilt / file
    mode = shut.stat().st_mode
    victim.remove()
    shut.chmod(0)
    try:
        line = refused(victim)
    finally:
        shut.chmod(mode & 0o7777)
    assert file in line


@pytest.mark.parametrize("name", ["landmarks", "triplets"])
def test_a_photograph_that_vanished_is_a_row(rebuilt, stage, name):
    victim = stage(name)
    plan = pd.read_parquet(rebuilt / "data/multipie/plan.parquet")
    kept = pd.read_parquet(rebuilt / "data/multipie/landmarks.parquet")["path"]
    vanished = next(path for path in plan["left"] if path in set(kept))
    file = rebuilt / "data/raw/multipie" / vanished
    content = file.read_bytes()
    file.unlink()
    shutil.rmtree(rebuilt / ".mfnet/landmarks", ignore_errors=True)  # results that are kept ask for no photograph
    try:
        run(rebuilt, *victim.command)
    finally:
        file.write_bytes(content)
    (table,) = (out for out in victim.outs if "rejected" in out.name)
    rejected = pd.read_parquet(table)
    assert vanished in " ".join(rejected["reason"]) + " ".join(rejected.get("path", []))


def test_a_shard_that_vanished_is_one_line(rebuilt, stage):
    victim = stage("train")
    victim.remove()
    (shard,) = (rebuilt / "data/triplets").glob("train-*.parquet")
    hidden = shard.rename(rebuilt / "shard")
    try:
        said = run(rebuilt, *victim.command, fails=True)
    finally:
        hidden.rename(shard)
    assert "Traceback" not in said and "triplets" in said.strip().splitlines()[-1]


CLOCK = """
import itertools, time
_now, _calls = time.time, itertools.count()
time.time = lambda: _now() - 86400 * (next(_calls) > 20)
"""


def test_a_clock_set_back_changes_no_result_and_loses_no_run(rebuilt, tmp_path):
    """By a day, early in each process; and all that is there is then from the future."""
    before = hashes(rebuilt)
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    for path in (rebuilt / "data").rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() + 86400,) * 2)
    paths = os.pathsep.join([str(tmp_path), "."])
    run(rebuilt, "env", f"PYTHONPATH={paths}", "dvc", "repro", "--force", "--single-item", "plan", "landmarks", "train")
    assert hashes(rebuilt) == before
    run(rebuilt, "mfnet", "track", "sync")
    table = run(rebuilt, "mfnet", "audit")
    assert all(f" {path} " in table for path in before)


def test_scratch_is_its_owners_alone_under_any_umask(rebuilt, stage):
    victim, scratch = stage("plan"), rebuilt / ".mfnet"
    for umask in (0, 0o077):
        scratch.chmod(0o777)
        subprocess.run(victim.command, cwd=rebuilt, env=environment(), umask=umask, check=True)
        assert scratch.stat().st_mode & 0o777 == 0o700
