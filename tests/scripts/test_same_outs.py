"""The comparison of two locks."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mfnet.errors import InputError
from scripts.same_outs import differences, read_outs

ROOT = Path(__file__).parents[2]
OUTS = {"data/a": "1" * 32, "data/b": "2" * 32 + ".dir"}


def test_the_lock_of_this_repository_can_be_read():
    outs = read_outs(ROOT / "dvc.lock")
    assert "data/head" in outs and differences(outs, outs, {}) == []


def test_equal_locks_have_no_difference():
    assert differences(OUTS, dict(OUTS)) == []


@pytest.mark.parametrize(
    ("new", "line"),
    [
        ({"data/a": "1" * 32}, "missing: data/b"),
        (OUTS | {"data/c": "3" * 32}, "added: data/c"),
        (OUTS | {"data/a": "4" * 32}, f"differs: data/a: {'1' * 32} is now {'4' * 32}"),
    ],
)
def test_each_difference_is_a_line(new, line):
    assert differences(OUTS, new) == [line]


def test_a_renamed_out_is_compared_under_its_new_path():
    new = {"data/new": OUTS["data/a"], "data/b": OUTS["data/b"]}
    assert differences(OUTS, new, {"data/a": "data/new"}) == []
    assert differences(OUTS, new | {"data/new": "5" * 32}, {"data/a": "data/new"}) != []


def test_the_command_ends_with_1_on_a_difference(tmp_path):
    path, md5 = "data/head", "1" * 32 + ".dir"
    lock = yaml.safe_dump({"schema": "2.0", "stages": {"head": {"cmd": "x", "outs": [{"path": path, "md5": md5}]}}})
    old, same, other = (tmp_path / name for name in ("old.lock", "same.lock", "other.lock"))
    old.write_text(lock)
    same.write_text(lock)
    other.write_text(lock.replace(md5, "0" * 32))

    def run(new):
        command = [sys.executable, "scripts/same_outs.py", str(old), str(new)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert run(same).returncode == 0
    changed = run(other)
    assert changed.returncode == 1 and f"differs: {path}: {md5} is now" in changed.stdout


def test_a_file_that_is_no_lock_is_refused(tmp_path):
    path = tmp_path / "dvc.lock"
    for text in ("- 1", "stages: {a: {outs: [1]}}", "a: [", "stages:"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"dvc\.lock: "):
            read_outs(path)
