"""What is kept of a scan: nothing is opened twice, and nothing that changed passes for what it was."""

import os
from pathlib import Path

import pandas as pd
import pytest

from mfnet.compute.executor import Compute
from mfnet.datasets import multipie
from mfnet.datasets import scan as scanning
from mfnet.datasets.scan import Look, scan
from mfnet.datasets.seen import paths_of
from tests.datasets.conftest import png

FIRST = "session01/multiview/001/01/05_1/001_01_01_051_00.png"


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """Paths of the files that were opened since the list was last cleared."""
    paths, glance = [], scanning.glance

    def spy(root, files, *rest, **more):
        paths.extend(os.path.join(root, path) for path in paths_of(files))
        return glance(root, files, *rest, **more)

    monkeypatch.setattr(scanning, "glance", spy)
    return paths


def same(one: tuple[pd.DataFrame, ...], other: tuple[pd.DataFrame, ...]) -> None:
    for a, b in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(a, b)


def test_a_second_scan_opens_nothing_and_says_the_same(write_archive, tmp_path, read):
    root = write_archive(illuminations=range(3))
    (root / "notes.txt").touch()
    (root / FIRST).write_bytes(b"")
    first = scan(root, kept=tmp_path / "kept")
    same(first, scan(root))
    read.clear()
    same(first, scan(root, kept=tmp_path / "kept"))
    assert read == []


def test_one_new_image_is_one_image_read(write_archive, tmp_path, read):
    root = write_archive(illuminations=range(3))
    scan(root, kept=tmp_path / "kept")
    new = root / multipie.image_path("001", 1, 1, "19_0", 5)
    new.write_bytes(png(1000))
    read.clear()
    found = scan(root, kept=tmp_path / "kept")
    assert read == [str(new)] and len(found[0]) == 19
    same(found, scan(root))
    read.clear()
    same(found, scan(root, kept=tmp_path / "kept"))
    assert read == []


@pytest.mark.parametrize("times", ["as they come", "put back"])
def test_an_image_changed_at_equal_size_is_read_again(write_archive, tmp_path, read, times):
    root = write_archive()
    before, _ = scan(root, kept=tmp_path / "kept")
    path, content = root / FIRST, bytearray((root / FIRST).read_bytes())
    state = path.stat()
    content[-17] ^= 1
    path.write_bytes(content)
    if times == "put back":
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    read.clear()
    after, _ = scan(root, kept=tmp_path / "kept")
    assert read == [str(path)] and list(after.index[after["checksum"] != before["checksum"]]) == [0]


def test_an_image_that_is_gone_is_gone(write_archive, tmp_path):
    root = write_archive()
    scan(root, kept=tmp_path / "kept")
    (root / FIRST).unlink()
    same(scan(root, kept=tmp_path / "kept"), scan(root))


def test_a_killed_scan_goes_on(write_archive, tmp_path, read, monkeypatch):
    root = write_archive(subjects=range(1, 5))
    monkeypatch.setattr(scanning, "_CHUNK", 3)
    check, left = scanning._check_files, [2]

    def killed(*given):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return check(*given)

    with monkeypatch.context() as patched:
        patched.setattr(scanning, "_check_files", killed)
        with pytest.raises(KeyboardInterrupt):
            scan(root, kept=tmp_path / "kept")
    read.clear()
    found = scan(root, kept=tmp_path / "kept")
    assert len(read) == 12 - 6 and len(found[0]) == 12
    same(found, scan(root))


def test_a_damaged_file_of_findings_is_one_that_is_not_there(write_archive, tmp_path, read):
    root = write_archive()
    scan(root, kept=tmp_path / "kept")
    for file in (tmp_path / "kept").rglob("*.parquet"):
        file.write_bytes(file.read_bytes()[:100])
    read.clear()
    same(scan(root, kept=tmp_path / "kept"), scan(root))
    assert len(read) == 2 * 6


def test_kept_findings_do_not_depend_on_how_the_work_is_spread(write_archive, tmp_path, monkeypatch):
    root = write_archive(illuminations=range(3))
    monkeypatch.setattr(scanning, "_CHUNK", 4)
    first = scan(root, Compute("local", 2), kept=tmp_path / "kept")
    same(first, scan(root, Compute("local", 2), kept=tmp_path / "kept"))
    same(first, scan(root))


def test_damage_inside_is_found_by_decoding_and_by_a_hash(write_archive, tmp_path):
    root = write_archive()
    whole = {look: scan(root, look=look, kept=tmp_path / "kept")[0] for look in (Look(), Look(content=True))}
    assert (whole[Look()]["checksum"] != whole[Look(content=True)]["checksum"]).all()
    content = bytearray((root / FIRST).read_bytes())
    content[len(content) // 2] ^= 0x55
    (root / FIRST).write_bytes(content)
    same(scan(root), (whole[Look()], scan(root)[1]))
    manifest, _ = scan(root, look=Look(content=True), kept=tmp_path / "kept")
    assert list(manifest.index[manifest["checksum"] != whole[Look(content=True)]["checksum"]]) == [0]
    _, rejected = scan(root, Compute("local", 2), Look(decode=True), tmp_path / "kept")
    assert [row.split(":")[0] for row in rejected["reason"]] == ["broken PNG"] and rejected["path"].tolist() == [FIRST]


def test_the_compiled_look_agrees_with_the_plain_one(write_archive, monkeypatch):
    root = write_archive(illuminations=range(2))
    (root / FIRST).write_bytes(png(5, 320, 240))
    (root / "two.png").symlink_to(Path(FIRST).name)
    compiled = scan(root)
    monkeypatch.setattr("mfnet.io.ends._can_glance", lambda: False)
    same(compiled, scan(root))
