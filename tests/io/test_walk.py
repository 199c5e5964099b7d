"""A walk that nothing in a tree can end: every fault is a path with its reason."""

import os

import pytest

from mfnet.errors import InputError
from mfnet.io import walk as walking
from mfnet.io.walk import printable, walk


def faults(root) -> dict[str, str]:
    return {found.path: found.fault for found in walk(root) if found.fault is not None}


def test_files_and_folders_come_by_name_and_links_are_followed(tmp_path):
    for path in ("tree/b/z.png", "tree/a/y.png", "tree/c.png", "elsewhere/x.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "elsewhere")
    found = [(each.path, each.is_folder) for each in walk(tmp_path / "tree")]
    files = ["c.png", "a/y.png", "b/z.png", "link/x.png"]
    assert [path for path, is_folder in found if not is_folder] == files
    assert [path for path, is_folder in found if is_folder] == ["a", "b", "link"]
    assert [each.path for each in walk(tmp_path / "tree", lambda folder: folder != "a")] == [
        *("b", "c.png", "link", "b/z.png", "link/x.png")
    ]


def test_a_dangling_link_and_a_pipe_are_named(tmp_path):
    (tmp_path / "gone.png").symlink_to("/nowhere/x.png")
    (tmp_path / "itself").symlink_to("itself")
    os.mkfifo(tmp_path / "pipe.png")
    assert faults(tmp_path) == {
        "gone.png": "unreadable: No such file or directory",
        "itself": "unreadable: Too many levels of symbolic links",
        "pipe.png": "not a file",
    }


def test_loops_of_links_end(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "root" / name).mkdir(parents=True)
    (tmp_path / "root/a/up").symlink_to("..")
    (tmp_path / "root/a/out").symlink_to(tmp_path)
    (tmp_path / "root/a/to-b").symlink_to(tmp_path / "root/b")
    (tmp_path / "root/b/to-a").symlink_to(tmp_path / "root/a")
    found = [each.path for each in walk(tmp_path / "root")]
    assert len(found) < 20 and set(faults(tmp_path / "root").values()) == {"loop of links"}
    assert {"a/up", "a/out"} <= faults(tmp_path / "root").keys()


def test_names_that_are_no_text_are_escaped(tmp_path):
    (tmp_path / os.fsdecode(b"bad\xff.png")).touch()
    (tmp_path / "two\nlines.png").touch()
    (tmp_path / "ünï x.png").touch()
    assert faults(tmp_path) == dict.fromkeys(["bad\\xff.png", "two\\nlines.png"], "name is no printable text")
    assert printable("ünï") == "ünï"


def test_a_folder_that_cannot_be_read_costs_no_other(tmp_path, monkeypatch):
    """Permission bits say nothing to a superuser: the refusal is put in the system's mouth."""
    for name in ("a/x.png", "b/y.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    scandir = os.scandir

    def refuse(path):
        if str(path).rstrip("/").endswith("/a"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(walking.os, "scandir", refuse)
    assert faults(tmp_path) == {"a": "unreadable folder: Permission denied"}
    assert "b/y.png" in [found.path for found in walk(tmp_path)]
    with pytest.raises(InputError, match=r"a: cannot be read \(Permission denied\)"):
        list(walk(tmp_path / "a"))
