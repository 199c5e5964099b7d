"""The scan of a Multi-PIE directory: what is kept, what is rejected and why, and that it is always the same."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mfnet.compute.executor import Compute
from mfnet.datasets import multipie
from mfnet.datasets import scan as scanning
from mfnet.datasets.scan import png_checksum, scan
from mfnet.errors import InputError
from tests.datasets.conftest import png

FIRST = "session01/multiview/001/01/05_1/001_01_01_051_00.png"


def reasons(root: Path) -> dict[str, str]:
    _, rejected = scan(root)
    return dict(zip(rejected["path"], rejected["reason"], strict=True))


def test_image_path_and_parse_path_are_inverse():
    fields = ("346", 4, 3, "19_1", 19)
    path = multipie.image_path(*fields)
    assert path == "session04/multiview/346/03/19_1/346_04_03_191_19.png"
    assert multipie.parse_path(path) == fields


def test_yaw_of_the_cameras():
    assert multipie.YAW["05_1"] == 0 and multipie.YAW["24_0"] == 90 and multipie.YAW["11_0"] == -90
    assert len(multipie.YAW) == 13 and not multipie.CEILING.keys() & multipie.YAW.keys()


def test_manifest_of_a_good_archive(write_archive):
    root = write_archive(subjects=(2, 1), recordings=((1, 1), (2, 2)), cameras=("05_1", "08_1"), illuminations=(0, 7))
    manifest, rejected = scan(root)
    assert len(manifest) == 16 and rejected.empty and list(rejected.columns) == ["path", "reason"]
    assert manifest["path"].is_monotonic_increasing and manifest["path"].iloc[0] == FIRST
    assert set(zip(manifest["session"], manifest["recording"], manifest["expression"], strict=True)) == {
        (1, 1, "neutral"),
        (2, 2, "surprise"),
    }
    assert (manifest.loc[manifest["camera"] == "05_1", "yaw"] == 0).all()
    assert manifest.loc[manifest["camera"] == "08_1", "yaw"].isna().all()
    assert manifest["checksum"].is_unique and set(manifest["subject"]) == {"001", "002"}


def test_every_fault_gets_its_reason_and_stops_nothing(write_archive):
    root = write_archive(subjects=(1,), cameras=("05_1",), illuminations=range(4))
    folder = (root / FIRST).parent
    good = (root / FIRST).read_bytes()
    planted = {
        folder / "001_01_01_051_04.png": (good[: len(good) // 2], "broken PNG: truncated"),
        folder / "001_01_01_051_05.png": (b"", "empty file"),
        folder / "001_01_01_051_06.png": (b"no picture", "not a PNG"),
        folder / "001_01_01_051_07.png": (png(9, 320, 240), "wrong size: 320x240"),
        folder / "001_01_01_051_08.png": (good[:20] + b"\0\0\2\0" + good[24:], "broken PNG: damaged header"),
        folder / "001_01_01_051_20.png": (good, "unknown illumination: 20"),
        folder / "002_01_01_051_00.png": (good, "name and folder differ"),
        folder / "001_01_01_051_0.png": (good, "bad name"),
        folder / "Thumbs.db": (b"x", "stray file"),
        root / "notes.txt": (b"x", "stray file"),
        root / "session01" / "001_01_01_051_00.png": (good, "stray file"),
        root / multipie.image_path("001", 1, 1, "99_9", 0): (good, "unknown camera: 99_9"),
        root / multipie.image_path("001", 1, 3, "05_1", 0): (good, "unknown recording: 03 of session 01"),
    }
    for path, (content, _) in planted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert reasons(root) == {path.relative_to(root).as_posix(): reason for path, (_, reason) in planted.items()}
    assert len(scan(root)[0]) == 4


def test_endings_in_any_case_are_images(write_archive):
    root = write_archive(subjects=(1, 2), cameras=("05_1", "19_0"))
    plain, _ = scan(root)
    for path, ending in zip(sorted(root.rglob("*.png")), (".PNG", ".Png", ".pNG", ".PNG"), strict=True):
        path.rename(path.with_suffix(ending))
    manifest, rejected = scan(root)
    assert rejected.empty and list(manifest["path"].str[:-4]) == list(plain["path"].str[:-4])
    pd.testing.assert_frame_equal(manifest.drop(columns="path"), plain.drop(columns="path"))


def test_two_files_of_one_image_are_one_image(write_archive):
    root = write_archive(subjects=(1,))
    (root / FIRST).with_suffix(".PNG").write_bytes((root / FIRST).read_bytes())
    manifest, _ = scan(root)
    assert FIRST in set(manifest["path"]) and len(manifest) == 3
    assert reasons(root) == {FIRST.replace(".png", ".PNG"): f"second file of the same image: {FIRST}"}


def test_neither_of_two_images_of_equal_content_is_believed(write_archive):
    root = write_archive(subjects=(1, 2))
    copy = multipie.image_path("002", 1, 1, "08_0", 0)
    (root / copy).write_bytes((root / FIRST).read_bytes())
    assert reasons(root) == {FIRST: f"same content as {copy}", copy: f"same content as {FIRST}"}
    assert len(scan(root)[0]) == 4


def test_an_archive_of_one_picture_is_refused(write_archive):
    root = write_archive(subjects=(1, 2))
    for path in root.rglob("*.png"):
        path.write_bytes(png(1))
    with pytest.raises(InputError, match=r"every image is a copy of another \(session01/.*same content as session01"):
        scan(root)


def test_images_of_other_kinds_and_subjects_have_their_reasons(write_archive):
    root = write_archive(subjects=(1,))
    good, folder = (root / FIRST).read_bytes(), (root / FIRST).parent
    planted = {
        folder / "001_01_01_051_01.JPG": "image, but not PNG: .jpg",
        folder / "001_01_01_051_02.bmp": "image, but not PNG: .bmp",
        folder / "001_01_01_051_0\u0660.png": "bad name",
        root / multipie.image_path("000", 1, 1, "05_1", 0): "unknown subject: 000",
        root / multipie.image_path("347", 1, 1, "05_1", 0): "unknown subject: 347",
        folder / "old" / "001_01_01_051_00.png": "stray file",
        root / "session01" / "a.tiff": "stray file",
    }
    for path in planted:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(good)
    found = reasons(root)
    assert found.pop(folder.relative_to(root).as_posix() + "/old") == "stray file"
    assert found == {path.relative_to(root).as_posix(): reason for path, reason in planted.items()}


def test_twins_of_macos_are_left_aside(write_archive):
    root = write_archive()
    for path in [*root.rglob("*.png")]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7" + bytes(100))
    assert reasons(root) == {} and len(scan(root)[0]) == 6


def test_a_hostile_tree_ends_in_rows(write_archive):
    root = write_archive(subjects=(1,))
    folder = (root / FIRST).parent
    os.mkfifo(folder / "001_01_01_051_01.png")
    (folder / "001_01_01_051_02.png").symlink_to("/nowhere")
    (folder / os.fsdecode(b"x\xff.png")).touch()
    (root / "session01" / "loop").symlink_to("..")
    where = folder.relative_to(root).as_posix()
    assert reasons(root) == {
        f"{where}/001_01_01_051_01.png": "not a file",
        f"{where}/001_01_01_051_02.png": "unreadable: No such file or directory",
        f"{where}/x\\xff.png": "name is no printable text",
        "session01/loop": "loop of links",
    }
    with pytest.raises(multipie.RejectedImage, match="not a file"):
        png_checksum(str(folder / "001_01_01_051_01.png"))


def test_a_disk_that_vanishes_is_named(write_archive, monkeypatch):
    root = write_archive()
    check = scanning._check_files
    monkeypatch.setattr(scanning, "_check_files", lambda *given: (shutil.rmtree(root), check(*given))[1])
    with pytest.raises(InputError, match="gone while it was read; is its disk still mounted"):
        scan(root)


def test_a_root_at_the_wrong_level_is_told_the_right_one(write_archive):
    root = write_archive()
    for wrong in ("session01", "session01/multiview", "session01/multiview/001"):
        with pytest.raises(InputError, match=f"it lies inside session01: name {root}\\)"):
            scan(root / wrong)
    os.makedirs(root.parent / "disk" / "copies")
    os.rename(root, root.parent / "disk" / "copies" / "pie")
    with pytest.raises(InputError, match=f"farther below: name {root.parent}/disk/copies/pie\\)"):
        scan(root.parent / "disk")


@pytest.mark.parametrize("name", ["Session01", "session1", "SESSION_01"])
def test_misnamed_sessions_are_told(write_archive, name):
    root = write_archive()
    os.rename(root / "session01", root / name)
    with pytest.raises(InputError, match=f"a folder is named {name}, not session01"):
        scan(root)


def test_an_archive_of_jpeg_is_told(write_archive):
    root = write_archive()
    for path in [*root.rglob("*.png")]:
        path.rename(path.with_suffix(".jpg"))
    with pytest.raises(InputError, match=r"6 x image, but not PNG: \.jpg"):
        scan(root)


def test_a_file_that_is_twice_in_itself_is_broken(write_archive):
    path = write_archive(subjects=(1,)) / FIRST
    path.write_bytes(2 * path.read_bytes())
    with pytest.raises(multipie.RejectedImage, match="bytes after its end"):
        multipie.read_image(path)


def test_folder_below_the_images_and_dangling_link_are_rejected(write_archive):
    root = write_archive(subjects=(1,))
    folder = (root / FIRST).parent
    (folder / "copy").mkdir()
    (folder / "001_01_01_051_01.png").symlink_to("nowhere.png")
    assert list(reasons(root).values()) == ["unreadable: No such file or directory", "stray file"]


def test_other_parts_of_the_archive_are_left_aside(write_archive):
    root = write_archive(subjects=(1,))
    for part in ("meta/subject_ids.txt", "session01/highres/001/001_01_01.png"):
        (root / part).parent.mkdir(parents=True)
        (root / part).touch()
    assert reasons(root) == {}


def test_annotations_beside_an_image_are_left_aside(write_archive):
    root = write_archive(subjects=(1,))
    (root / FIRST).with_suffix(".pts").touch()
    (root / FIRST.replace(".png", "_lm.mat")).touch()
    (root / FIRST).with_name("notes.txt").touch()
    assert reasons(root) == {FIRST.replace("001_01_01_051_00.png", "notes.txt"): "stray file"}


def test_extra_data_folder_gives_the_same_images(write_archive, tmp_path):
    plain, _ = scan(write_archive())
    (tmp_path / "outer").mkdir()
    os.rename(tmp_path / "multipie", tmp_path / "outer" / "data")
    wrapped, rejected = scan(tmp_path / "outer")
    assert rejected.empty and (wrapped["path"] == "data/" + plain["path"]).all()
    pd.testing.assert_frame_equal(wrapped.drop(columns="path"), plain.drop(columns="path"))


def test_a_changed_image_changes_the_manifest(write_archive):
    root = write_archive()
    before, _ = scan(root)
    (root / FIRST).write_bytes(png(1000))
    after, _ = scan(root)
    assert list(after.index[after["checksum"] != before["checksum"]]) == [0]


def test_result_does_not_depend_on_how_the_work_is_spread(write_archive, monkeypatch):
    root = write_archive(illuminations=range(3))
    (root / "stray").touch()
    monkeypatch.setattr(scanning, "_CHUNK", 4)
    for one, other in zip(scan(root), scan(root, Compute("local", 2)), strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("content", [None, {}, {"readme.txt": b"x"}])
def test_missing_empty_or_foreign_root_is_one_clear_line(tmp_path, content):
    root = tmp_path / "archive"
    if content is not None:
        root.mkdir()
        for name, data in content.items():
            (root / name).write_bytes(data)
    with pytest.raises(InputError, match=r"source\.multipie") as caught:
        scan(root)
    assert str(root) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_flipped_byte_anywhere_is_found_on_decoding(write_archive, share):
    path = write_archive(subjects=(1,)) / FIRST
    assert multipie.read_image(path).shape == (480, 640, 3)
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(multipie.RejectedImage, match=r"^broken PNG: "):
        multipie.read_image(path)
