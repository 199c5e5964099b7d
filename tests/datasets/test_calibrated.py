"""Calibrated archives: every layout gives the same manifest, and what cannot be right is rejected with its reason."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mfnet.datasets import calibrated_scan
from mfnet.datasets.calibrated import LAYOUTS, calibration_file, read_image
from mfnet.datasets.calibrated_scan import scan_calibrated
from mfnet.datasets.cameras import camera_of
from mfnet.datasets.multipie import RejectedImage
from mfnet.datasets.quality import check_calibrated_manifest
from mfnet.errors import InputError
from tests.calibrated import (
    HEIGHT,
    PLACES,
    RECONSTRUCTION,
    SUBJECTS,
    WIDTH,
    capture_folder,
    image_file,
    plan_of,
    rig,
    write_archive,
)

NONE = ("017", "030")


@pytest.fixture(scope="module", params=LAYOUTS)
def archive(request, tmp_path_factory):
    """(layout, root) of each."""
    return request.param, write_archive(tmp_path_factory.mktemp(request.param), request.param)


def test_every_image_is_listed_with_the_camera_that_took_it(archive):
    layout, root = archive
    manifest, rejected = scan_calibrated(root, layout)
    assert rejected.empty and len(manifest) == len(SUBJECTS) * len(PLACES) and manifest["path"].is_monotonic_increasing
    assert set(map(int, manifest["subject"])) == set(map(int, SUBJECTS))
    assert set(manifest["unit"]) == {"arbitrary" if layout == "facescape" else "m"}
    length = RECONSTRUCTION if layout == "facescape" else 1.0
    for row in manifest.to_dict("records"):
        true = next(camera for camera in rig() if int(camera.name[-2:]) == int(row["camera"]) % 100)
        camera = camera_of(row)
        for name, value in {"K": true.K, "R": true.R, "t": true.t / length}.items():
            assert np.allclose(getattr(camera, name), value, atol=1e-6), name
        assert (camera.width, camera.height) == (WIDTH, HEIGHT)


def test_yaws_are_those_of_the_rig_with_our_sign(archive):
    layout, root = archive
    manifest, _ = scan_calibrated(root, layout)
    for row in manifest.to_dict("records"):
        yaw, elevation = PLACES[int(row["camera"]) % 100]
        assert abs(row["yaw"] - yaw) < 10 and abs(row["elevation"] - elevation) < 6
    before = manifest.loc[(manifest["yaw"] == 0) & (manifest["elevation"] == 0)]
    assert len(before) == len(SUBJECTS)


def test_a_plan_has_the_cameras_and_none_from_far_above(archive):
    layout, root = archive
    manifest, _ = scan_calibrated(root, layout)
    plan = plan_of(manifest)
    assert len(plan) == 16 and not {"5", "222200005"} & set(plan[["camera_left", "camera_right"]].to_numpy().ravel())
    images = manifest.set_index("path")
    for row in plan.to_dict("records"):
        for slot in ("frontal", "left", "right"):
            assert np.array_equal(camera_of(row, f"_{slot}").K, camera_of(images.loc[row[slot]]).K)
            assert row[f"camera_{slot}"] == images.loc[row[slot], "camera"]


def test_the_suite_takes_the_manifest_and_counts_what_is_rejected(archive, tmp_path):
    layout, root = archive
    manifest, rejected = scan_calibrated(root, layout)
    check_calibrated_manifest(manifest, rejected, 0.0, tmp_path / "ingest.json")
    assert json.loads((tmp_path / "ingest.json").read_text())["rows"] == len(manifest)
    bad = pd.DataFrame({"path": ["a.jpg"], "reason": ["calibration: mirrored"]})
    with pytest.raises(InputError, match=r"ingest\.max_rejected allows 1\.00%"):
        check_calibrated_manifest(manifest, bad, 0.01, tmp_path / "ingest.json")


def test_another_anchor_turns_the_yaws(archive):
    layout, root = archive
    name = "3" if layout == "facescape" else "222200003"
    manifest, _ = scan_calibrated(root, layout, name)
    assert set(manifest.loc[manifest["camera"] == name, "yaw"]) == {0.0}
    with pytest.raises(InputError, match=r"no photographs of source\.anchor nobody"):
        scan_calibrated(root, layout, "nobody")


def mirrored(cameras):
    return [replace(camera, R=np.diag([-1, 1, 1]) @ camera.R, t=camera.t * [-1, 1, 1]) for camera in cameras]


def opengl(cameras):
    return [replace(camera, R=np.diag([1, -1, -1]) @ camera.R, t=camera.t * [1, -1, -1]) for camera in cameras]


def to_world(cameras):
    return [replace(camera, R=camera.R.T, t=camera.centre) for camera in cameras]


def of_half_size(cameras):
    return [replace(camera, K=camera.K * np.array([[2, 2, 2], [2, 2, 2], [1, 1, 1]])) for camera in cameras]


FAULTS = {
    "mirrored": (mirrored, "is mirrored"),
    "opengl": (opengl, "would if its cameras' y and z axes point up and backwards"),
    "to world": (to_world, "would if its poses lead from the camera to the world"),
    "of half size": (of_half_size, "it is for another size"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_calibration_that_is_none_is_refused_in_one_line(tmp_path, layout, fault):
    spoil, told = FAULTS[fault]
    write_archive(tmp_path, layout, spoil=spoil, subjects=NONE)
    with pytest.raises(InputError, match=told) as caught:
        scan_calibrated(tmp_path, layout)
    message = str(caught.value)
    assert "\n" not in message and LAYOUTS[layout].calibration in message


def test_one_bad_calibration_costs_its_own_images_alone(tmp_path):
    write_archive(tmp_path, "nersemble", subjects=NONE)
    (tmp_path / "030/calibration/camera_params.json").write_text("{")
    manifest, rejected = scan_calibrated(tmp_path, "nersemble")
    assert set(manifest["subject"]) == {"017"} and len(rejected) == len(PLACES)
    assert rejected["reason"].str.startswith("calibration: 030/calibration/camera_params.json: not JSON").all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_no_good_image_has_a_reason(tmp_path, layout):
    write_archive(tmp_path, layout, subjects=NONE)
    paths = [image_file(layout, tmp_path, "017", rig()[place].name) for place in (1, 2, 3)]
    paths[0].write_bytes(paths[0].read_bytes()[:-200])
    paths[1].write_bytes(b"GIF89a" + bytes(300))
    other = paths[2].with_name("Thumbs.db")
    other.write_bytes(b"x")
    wrong = capture_folder(layout, tmp_path, "017") / "elsewhere" / "a.jpg"
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes(paths[2].read_bytes())
    _, rejected = scan_calibrated(tmp_path, layout)
    reasons = {tmp_path / row.path: row.reason for row in rejected.itertuples()}
    assert reasons.pop(paths[0]) == "broken image: truncated"
    assert "GIF" in reasons.pop(paths[1]) and reasons.pop(other) == "stray file"
    assert "not named like" in reasons.pop(wrong)
    assert reasons == {}


def test_damage_inside_an_image_is_found_by_decoding(tmp_path):
    write_archive(tmp_path, "multiface", subjects=NONE)
    path = image_file("multiface", tmp_path, "017", rig()[1].name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert scan_calibrated(tmp_path, "multiface")[1].empty
    _, rejected = scan_calibrated(tmp_path, "multiface", decode=True)
    assert [tmp_path / name for name in rejected["path"]] == [path] and "broken PNG" in rejected["reason"].iloc[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_second_scan_reads_what_changed(tmp_path, monkeypatch, layout):
    root, kept, read = write_archive(tmp_path / "archive", layout, subjects=NONE), tmp_path / "kept", []
    checked = calibrated_scan._checked

    def counted(path, decode):
        read.append(path)
        return checked(path, decode)

    monkeypatch.setattr(calibrated_scan, "_checked", counted)
    before, _ = scan_calibrated(root, layout, kept=kept)
    assert len(read) == len(before)
    read.clear()
    again, _ = scan_calibrated(root, layout, kept=kept)
    assert not read and again.equals(before)
    path = image_file(layout, root, "017", rig()[1].name)
    path.write_bytes(path.read_bytes()[:-200])
    rest, rejected = scan_calibrated(root, layout, kept=kept)
    assert read == [str(path)] and len(rest) == len(before) - 1
    assert list(rejected["reason"]) == ["broken image: truncated"]


def test_a_camera_without_calibration_has_no_rows(tmp_path):
    write_archive(tmp_path, "multiface", spoil=lambda cameras: cameras[:-1], subjects=NONE)
    manifest, rejected = scan_calibrated(tmp_path, "multiface")
    assert len(rejected) == 2 and "camera 222200006 is not in m--20180227--0000--017--GHS/KRT" in set(
        rejected["reason"]
    )
    assert "222200006" not in set(manifest["camera"])


def test_facescapes_scales_lead_to_metres(tmp_path):
    write_archive(tmp_path, "facescape", subjects=NONE)
    pose = np.column_stack([np.eye(3), [10.0, -20, 30]]).tolist()
    (tmp_path / "Rt_scale_dict.json").write_text(json.dumps({"17": {"1": [1000 * RECONSTRUCTION, pose]}}))
    manifest, _ = scan_calibrated(tmp_path, "facescape")
    units = manifest.groupby("subject")["unit"].unique().map(list).to_dict()
    assert units == {"17": ["m"], "30": ["arbitrary"]}
    camera = camera_of(manifest.loc[manifest["subject"] == "17"].iloc[0])
    assert np.allclose(camera.centre - rig()[0].centre, [0.01, -0.02, 0.03])


def test_sequences_are_sessions_and_frames_recordings(tmp_path):
    write_archive(tmp_path, "nersemble", subjects=("017",))
    folder = tmp_path / "017" / "sequences"
    for name, frame in (("EXP-2-eyes", 3), ("EXP-10-smile", 4)):
        (folder / name / "images").mkdir(parents=True)
        for number, path in enumerate(sorted((folder / "EXP-1-head" / "images").iterdir())):
            data = path.read_bytes()  # other bytes after the header of a JPEG: another checksum
            (folder / name / "images" / path.name.replace("00012", f"{frame:05d}")).write_bytes(
                data[:2] + b"\xff\xfe\x00\x04" + bytes([frame, number]) + data[2:]
            )
    manifest, _ = scan_calibrated(tmp_path, "nersemble")
    found = manifest.groupby("expression")[["session", "recording"]].first().to_dict("index")
    assert found == {
        "EXP-1-head": {"session": 1, "recording": 12},
        "EXP-2-eyes": {"session": 2, "recording": 3},
        "EXP-10-smile": {"session": 3, "recording": 4},
    }


def test_an_empty_root_says_what_is_expected(tmp_path):
    with pytest.raises(InputError, match=r"no image such as 122/1_neutral/4\.jpg"):
        scan_calibrated(tmp_path, "facescape")
    with pytest.raises(InputError, match="no such folder"):
        scan_calibrated(tmp_path / "none", "nersemble")


def test_images_are_read_whatever_their_format(tmp_path):
    for layout in ("nersemble", "multiface"):
        write_archive(tmp_path / layout, layout, subjects=NONE)
        path = image_file(layout, tmp_path / layout, "017", rig()[0].name)
        assert read_image(path).shape == (HEIGHT, WIDTH, 3)
        path.write_bytes(b"no image")
        with pytest.raises(RejectedImage):
            read_image(path)


def test_an_images_calibration_is_known_by_its_path():
    for layout, kind in LAYOUTS.items():
        assert calibration_file(kind.example, layout).endswith(kind.calibration)
