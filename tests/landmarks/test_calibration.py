"""Units and conventions against landmarks: right calibrations pass, planted errors are told by name."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mfnet.datasets.calibrated import LAYOUTS
from mfnet.datasets.calibrated_scan import scan_calibrated
from mfnet.errors import InputError
from mfnet.geometry.conventions import about_y
from mfnet.landmarks.calibration import check_cameras
from mfnet.landmarks.rigid import mean_head
from tests.calibrated import RECONSTRUCTION, detected, plan_of, write_archive
from tests.heads import open_head
from tests.settings import EMBEDDED, having

PARAMS = EMBEDDED.landmarks


@pytest.fixture(scope="module")
def head():
    return mean_head(open_head())


def planned(root, layout, spoil=lambda cameras: cameras) -> pd.DataFrame:
    write_archive(root, layout, spoil=spoil)
    return plan_of(scan_calibrated(root, layout)[0])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_right_cameras_pass_with_their_unit(tmp_path, head, layout):
    plan = planned(tmp_path, layout)
    found = detected(plan, noise=2.0)
    passed, rejected = check_cameras(found, plan, head, PARAMS, layout)
    assert rejected.empty and len(passed) == len(found)
    assert passed["reprojection"].between(0.01, 0.04).all()
    expected = RECONSTRUCTION if layout == "facescape" else 1.0
    assert passed["unit"].between(0.85 * expected, 1.15 * expected).all()
    assert (passed["unit"].nunique() == 1) == (layout != "facescape")


def in_millimetres(cameras):
    return [replace(camera, t=1000 * camera.t) for camera in cameras]


def in_decimetres(cameras):
    return [replace(camera, t=10 * camera.t) for camera in cameras]


def zoomed(factor):
    scale = np.array([[factor, factor, 1], [1, factor, 1], [1, 1, 1]])
    return lambda cameras: [replace(camera, K=camera.K * scale) for camera in cameras]


def one_turned(cameras):
    return [replace(each, R=about_y(0.12) @ each.R) if index == 0 else each for index, each in enumerate(cameras)]


def shuffled(cameras):
    others = [*cameras[1:], cameras[0]]
    return [replace(camera, R=other.R, t=other.t) for camera, other in zip(cameras, others, strict=True)]


def off_centre(cameras):
    return [replace(each, K=each.K + np.array([[0, 0, 40.0], [0, 0, 0], [0, 0, 0]])) for each in cameras]


def half_turned(cameras):
    turn = np.diag([-1.0, -1, 1])
    return [replace(camera, R=turn @ camera.R, t=turn @ camera.t) for camera in cameras]


FAULTS = {
    "off centre": (off_centre, r"do not see one head: .* K, R or t is wrong|see one head but for"),
    "half turned": (half_turned, "would fit if pictures or cameras were turned by half a turn"),
    "millimetres": (in_millimetres, r"1e\+03|9\d\d|1\.\d+e\+03.* its t may be in millimetres"),
    "decimetres": (in_decimetres, "its t may be in decimetres"),
    "longer": (zoomed(1.5), "its K is wrong: with 0.67 times the focal length"),
    "shorter": (zoomed(0.67), "its K is wrong: with 1.5 times the focal length"),
    "a little shorter": (zoomed(0.8), "its K is wrong: with 1.25 times the focal length"),
    "one camera": (one_turned, r"see one head but for 222200000, whose K, R or t is wrong"),
    "shuffled": (shuffled, r"do not see one head"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_errors_are_refused_by_what_they_are(tmp_path, head, fault):
    spoil, told = FAULTS[fault]
    plan = planned(tmp_path, "nersemble", spoil)
    with pytest.raises(InputError, match=told) as caught:
        check_cameras(detected(plan), plan, head, PARAMS, "nersemble")
    message = str(caught.value)
    assert message.startswith("017/calibration/camera_params.json: its ") and "\n" not in message
    assert message.endswith("images)")


def test_landmarks_in_a_mirror_are_told(tmp_path, head):
    plan = planned(tmp_path, "multiface")
    found = detected(plan)
    found["landmarks"] = [(np.float32([300, 0]) + flat.reshape(68, 2) * [-1, 1]).ravel() for flat in found["landmarks"]]
    with pytest.raises(InputError, match=r"one axis of the pictures or of its cameras were mirrored"):
        check_cameras(found, plan, head, PARAMS, "multiface")


def test_one_images_wrong_landmarks_are_a_rejected_row(tmp_path, head):
    plan = planned(tmp_path, "nersemble")
    found = detected(plan)
    number = found.index[found["path"].str.contains("110.*222200001")][0]
    found.at[number, "landmarks"] = found.at[number, "landmarks"] + np.float32(25)
    passed, rejected = check_cameras(found, plan, head, PARAMS, "nersemble")
    assert list(rejected["path"]) == [found.at[number, "path"]]
    assert rejected["reason"].str.match(r"views of one head do not triangulate: off by 0\.\d\d").all()
    assert len(passed) == len(found) - 1


def test_one_bad_calibration_in_many_costs_its_images(tmp_path, head):
    plan = planned(tmp_path, "nersemble")
    for slot in ("frontal", "left", "right"):
        bad = plan["subject"] == "110"
        plan.loc[bad, f"t_{slot}"] = plan.loc[bad, f"t_{slot}"].map(lambda t: [1000 * value for value in t])
    found = detected(plan)
    passed, rejected = check_cameras(found, plan, head, having(PARAMS, max_rejected=0.5), "nersemble")
    assert rejected["path"].str.startswith("110/").all() and not passed["path"].str.startswith("110/").any()
    assert rejected["reason"].str.startswith("calibration: 110/calibration/camera_params.json: its unit is wrong").all()
