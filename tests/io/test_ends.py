"""A glance at many files says of each what reading it says."""

import os

import numpy as np
import pytest

from mfnet.io.ends import _can_glance, glance

HEAD, TAIL = b"head", b"tail"


@pytest.mark.skipif(not _can_glance(), reason="Linux's statx is not there")
def test_only_regular_files_with_both_ends_are_as_expected(tmp_path):
    content = {
        "good": b"head 12345678tail",
        "ünï 漢": b"head and more 1234567\0tail",
        "short": b"headtail",
        "other head": b"Head 12345678tail",
        "other tail": b"head 12345678tall",
        "empty": b"",
    }
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "link").symlink_to("good")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner").write_bytes(content["good"])
    os.mkfifo(tmp_path / "pipe")
    names = [*content, "link", "folder", "pipe", "gone"]
    found = glance(str(tmp_path), [("", names), ("none", ["good"]), ("folder", ["inner"])], HEAD, TAIL, more=8)
    assert [name for name, good in zip(names, found.expected[:-2], strict=True) if good] == ["good", "ünï 漢", "link"]
    assert found.expected[-2:].tolist() == [False, True]
    for index, name in ((0, "good"), (1, "ünï 漢")):
        state = (tmp_path / name).stat()
        assert found.tails[index].tobytes() == content[name][-12:]
        assert found.states[index].tolist() == [state.st_size, state.st_mtime_ns, state.st_ctime_ns]


def test_no_files_are_no_error():
    assert len(glance("/", [], HEAD, TAIL, more=8).expected) == 0


def test_a_name_with_a_zero_byte_mixes_up_nothing(tmp_path):
    (tmp_path / "good").write_bytes(b"head 12345678tail")
    assert not np.any(glance(str(tmp_path), [("", ["good", "a\0b"])], HEAD, TAIL, more=8).expected)
