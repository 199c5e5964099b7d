"""The listing changes with names, sizes and times of change, and with nothing else."""

import os

import pytest

from mfnet.datasets.archive import list_archive, refresh_listing
from mfnet.errors import InputError
from mfnet.params import SourceParams


@pytest.fixture
def archive(tmp_path):
    root = tmp_path / "pie"
    for name in ("session01/b.png", "session01/a/c.png", "d.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def test_counts_and_digest(archive):
    before = list_archive(archive)
    assert before["files"] == 3
    assert before["bytes"] == len("session01/b.png" + "session01/a/c.png" + "d.png")
    (archive / "d.png").read_bytes()
    assert list_archive(archive) == before
    (archive / "d.png").rename(archive / "e.png")
    assert list_archive(archive)["sha256"] != before["sha256"]


@pytest.mark.parametrize("kept", [True, False], ids=["times put back", "times as they come"])
def test_an_image_changed_at_equal_size_is_seen(archive, kept):
    before, path = list_archive(archive), archive / "d.png"
    times = path.stat()
    path.write_bytes(b"D.png")
    if kept:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = list_archive(archive)
    assert after["bytes"] == before["bytes"] and after["sha256"] != before["sha256"]


def test_nothing_in_a_tree_ends_the_listing(archive, caplog):
    (archive / "gone.png").symlink_to("/nowhere/x.png")
    (archive / "session01" / "loop").symlink_to("..")
    os.mkfifo(archive / "pipe.png")
    (archive / os.fsdecode(b"bad\xff.png")).touch()
    assert list_archive(archive)["files"] == 7
    assert "1 files or folders cannot be listed: gone.png: unreadable" in caplog.text


def test_refresh_tells_of_changes(archive, tmp_path):
    source = SourceParams(
        layout="multipie", anchor=None, multipie="pie", archive_listing="pie.json", facescape="f", aflw2000=None
    )
    assert refresh_listing(source, tmp_path)
    assert not refresh_listing(source, tmp_path)
    (archive / "new.png").write_bytes(b"1")
    assert refresh_listing(source, tmp_path)


def test_a_watched_folder_needs_no_listing(archive, tmp_path):
    source = SourceParams(
        layout="multipie", anchor=None, multipie="pie", archive_listing="pie", facescape="f", aflw2000=None
    )
    assert not refresh_listing(source, tmp_path)


@pytest.mark.parametrize("make", [True, False])
def test_empty_and_missing_roots_are_named(tmp_path, make):
    root = tmp_path / "none"
    if make:
        root.mkdir()
    with pytest.raises(InputError, match=r"none.*source\.multipie"):
        list_archive(root)
