"""Writing whole or not at all; reading with an error that says what to do."""

import pandas as pd
import pytest

from mfnet.errors import InputError
from mfnet.io.files import atomic_directory, atomic_path, read_table, write_json, write_table


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
