"""Writing whole or not at all; reading with an error that says what to do."""

import errno
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mfnet.errors import InputError
from mfnet.flame import write_head
from mfnet.io.checkpoints import Checkpoints
from mfnet.io.files import atomic_directory, atomic_path, read_table, write_json, write_table
from mfnet.io.images import write_png
from mfnet.io.obj import ObjMesh, write_obj
from mfnet.io.tensors import write_tensors
from tests.heads import open_head


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.txt") as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_a_directory_is_replaced_whole(tmp_path):
    for content in ("one", "two"):
        with atomic_directory(tmp_path / "out") as beside:
            (beside / content).touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["two"]
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "out") as beside:
        (beside / "three").touch()
        raise RuntimeError
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/two"]


def _write_head(path):
    write_head(open_head(), path)


def _save_checkpoint(path):
    saved = Checkpoints(path.parent, "")
    saved.path = path
    saved.save({"a": torch.zeros(100_000)})


WRITERS = {
    "a.json": lambda path: write_json(list(range(100_000)), path),
    "a.parquet": lambda path: write_table(pd.DataFrame({"a": np.arange(100_000)}), path),
    "a.npz": _write_head,
    "a.safetensors": lambda path: write_tensors({"a": torch.zeros(100_000)}, path, {"kind": "x"}),
    "a.pt": _save_checkpoint,
    "a.png": lambda path: write_png(np.zeros((99, 99, 3), np.uint8), path),
    "a.obj": lambda path: write_obj(path, ObjMesh(np.zeros((9999, 3)), np.zeros((9, 3), np.int64))),
}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line_that_names_the_file_and_the_old_one_stays(tmp_path, name):
    """What is written beside goes to a device that is always full."""
    path = tmp_path / name
    path.write_bytes(b"old")
    with atomic_path(path) as beside:
        beside.write_bytes(b"old")
    beside.symlink_to("/dev/full")
    with pytest.raises(InputError) as caught:
        WRITERS[name](path)
    said = str(caught.value)
    assert said == f"{path}: cannot be written (No space left on device); make room on its disk"
    assert [each.name for each in tmp_path.iterdir()] == [name] and path.read_bytes() == b"old"


@pytest.mark.parametrize("writing", [atomic_path, atomic_directory])
def test_a_folder_that_may_not_be_written_is_one_line_that_names_it(tmp_path, monkeypatch, writing):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "shut" / "a"))

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write everywhere
    said = re.escape(f"a: cannot be written (Permission denied); let this user write to {tmp_path / 'shut'}")
    with pytest.raises(InputError, match=said), writing(tmp_path / "shut" / "a"):
        pass


def test_a_refusal_that_has_no_file_name_is_told_by_its_text(tmp_path):
    """pyarrow's are such."""
    with pytest.raises(InputError, match=r"a\.parquet: cannot be written \(Permission denied\)"):
        with atomic_path(tmp_path / "a.parquet") as beside:
            raise PermissionError(errno.EACCES, f"Failed to open local file '{beside}'")


def test_what_cannot_be_read_is_no_fault_of_the_file_that_is_written(tmp_path):
    with pytest.raises(PermissionError), atomic_path(tmp_path / "out" / "a"):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "secret"))


def test_json_refuses_what_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json({"CD": float("nan")}, tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


def test_table_there_and_back(tmp_path):
    table = pd.DataFrame({"path": ["a", "b"], "score": [0.5, 1.0]})
    write_table(table, tmp_path / "one.parquet")
    write_table(table.copy(), tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    pd.testing.assert_frame_equal(read_table(tmp_path / "one.parquet"), table)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file; run the stage"), (b"PAR1 half a file", "not a readable Parquet table")],
)
def test_a_table_that_cannot_be_read(tmp_path, content, message):
    if content:
        (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_table(tmp_path / "a.parquet")
    assert "a.parquet" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_column_is_named(tmp_path):
    write_table(pd.DataFrame({"path": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="score"):
        read_table(tmp_path / "a.parquet", ["score"])
