"""Calibration files as their sets write them, and those that lie."""

import json

import cv2
import numpy as np
import pytest
import torch

from mfnet.errors import InputError
from mfnet.geometry import PinholeCamera, project_perspective
from mfnet.geometry.conventions import about_x, about_y
from mfnet.io.cameras import CalibratedCamera, FaceScapeScales, read_facescape, read_krt, read_nersemble

K = np.array([[900.0, 0, 319.5], [0, 905.0, 239.5], [0, 0, 1]])
POSES = {
    "222200037": np.column_stack([about_y(0.4) @ about_x(3.0), [0.1, -0.2, 1.1]]),
    "220700191": np.column_stack([about_x(2.9), [0.0, 0.05, 1.0]]),
}


def nersemble(**changes) -> str:
    poses = {name: [*pose.tolist(), [0, 0, 0, 1]] for name, pose in POSES.items()}
    return json.dumps({"intrinsics": K.tolist(), "world_2_cam": poses, "width": 640, "height": 480} | changes)


def krt(poses: dict[str, np.ndarray]) -> str:
    def rows(matrix: np.ndarray) -> str:
        return "\n".join(" ".join(f"{value:.6f}" for value in row) for row in matrix)

    return "".join(f"{name}\n{rows(K)}\n0 0 0 0 0\n{rows(pose)}\n\n" for name, pose in poses.items())


def facescape(**changes) -> str:
    content: dict = {"0_valid": False, "0_K": K.tolist(), "0_Rt": POSES["220700191"].tolist()}
    for number, pose in enumerate(POSES.values(), 9):
        content |= {f"{number}_K": K.tolist(), f"{number}_Rt": pose.tolist(), f"{number}_valid": True}
        content |= {f"{number}_distortion": [0.1, -0.2, 0.001, 0.002, 0.0]}
        content |= {f"{number}_width": 640, f"{number}_height": 480}
    return json.dumps(content | changes)


def read(reader, folder, text: str) -> list[CalibratedCamera]:
    path = folder / "cameras"
    path.write_text(text)
    return reader(path)


def test_nersemble_has_metres_and_one_k_for_all(tmp_path):
    cameras = read(read_nersemble, tmp_path, nersemble())
    assert [camera.name for camera in cameras] == sorted(POSES)
    assert {(camera.unit, camera.width, camera.height) for camera in cameras} == {("m", 640, 480)}
    for camera in cameras:
        assert np.allclose(np.column_stack([camera.R, camera.t]), POSES[camera.name])
        assert np.allclose(camera.K[:2, 2], [320.0, 240.0])  # the middle, counted from the first pixel's corner


def test_multiface_has_millimetres_and_no_size(tmp_path):
    cameras = read(read_krt, tmp_path, krt({name: pose * [1, 1, 1, 1000] for name, pose in POSES.items()}))
    assert {(camera.unit, camera.width) for camera in cameras} == {("mm", None)}
    for camera in cameras:
        metres = camera.in_metres()
        assert np.allclose(np.column_stack([metres.R, metres.t]), POSES[camera.name], atol=1e-6)
        assert metres.unit == "m"


def test_facescape_has_no_unit_and_a_lens(tmp_path):
    cameras = read(read_facescape, tmp_path, facescape())
    assert [(camera.name, camera.unit) for camera in cameras] == [("9", None), ("10", None)]  # 0 is not valid
    with pytest.raises(ValueError, match="unit is not known"):
        cameras[0].in_metres()
    assert np.allclose(cameras[0].in_metres(0.2).t, 0.2 * cameras[0].t)


def test_a_world_in_other_units_and_axes_gives_the_same_pictures(tmp_path):
    (camera, _) = read(read_facescape, tmp_path, facescape())
    points = np.random.default_rng(1).normal(0, 0.1, (9, 3))
    scale, rotation, shift = 160.0, about_y(0.7) @ about_x(0.2), np.array([3.0, -20.0, 8.0])
    moved = camera.moved(scale, rotation, shift, "mm")
    before, depth = camera.project(points)
    after, in_mm = moved.project(scale * points @ rotation.T + shift)
    assert np.allclose(before, after) and np.allclose(scale * depth, in_mm) and moved.unit == "mm"


def test_the_scale_of_a_facescape_reconstruction(tmp_path):
    path = tmp_path / "Rt_scale_dict.json"
    path.write_text(json.dumps({"7": {"2": [150.0, np.column_stack([about_y(0.5), [1, 2, 3]]).tolist()]}}))
    found = FaceScapeScales(path).find("7", "2")
    assert found is not None and found[0] == 150 and np.allclose(found[1], about_y(0.5))
    assert FaceScapeScales(path).find("7", "3") is None and FaceScapeScales(path).find("8", "2") is None
    path.write_text('{"7": {"2": [-1, [[1,0,0,0],[0,1,0,0],[0,0,1,0]]]}}')
    with pytest.raises(InputError, match=r"7\.2: scale"):
        FaceScapeScales(path).find("7", "2")


def test_lenses_are_undone_in_points_as_opencv_made_them(tmp_path):
    (camera, _) = read(read_facescape, tmp_path, facescape())
    points = np.random.default_rng(2).uniform(-0.1, 0.1, (20, 3))
    seen = cv2.projectPoints(points, cv2.Rodrigues(camera.R)[0], camera.t, K, camera.distortion)[0][:, 0] + 0.5
    assert np.abs(camera.undistorted(seen) - camera.project(points)[0]).max() < 1e-3
    assert np.abs(seen - camera.project(points)[0]).max() > 0.1


def test_photographs_are_straightened_as_points_are(tmp_path):
    (camera, _) = read(read_facescape, tmp_path, facescape())
    image = np.zeros((480, 640, 3), np.uint8)
    cv2.circle(image, (120, 90), 6, (255, 255, 255), -1)
    rows, columns = np.nonzero(camera.straightened(image)[..., 0] > 128)
    middle = np.array([columns.mean(), rows.mean()]) + 0.5
    assert np.abs(camera.undistorted(np.array([[120.5, 90.5]])) - middle).max() < 0.5


def test_a_pinhole_camera_of_tensors_projects_as_the_file_says(tmp_path):
    cameras = read(read_nersemble, tmp_path, nersemble())
    points = np.random.default_rng(3).normal(0, 0.1, (9, 3))
    batch = torch.from_numpy(np.stack([points, points]))
    pixels, depth = project_perspective(batch, PinholeCamera.calibrated(cameras, 0.1, 10.0))
    for row, camera in enumerate(cameras):
        expected = camera.project(points)
        assert np.allclose(pixels[row], expected[0]) and np.allclose(depth[row], expected[1])


def test_k_of_another_size_is_refused(tmp_path):
    (camera, *_) = read(read_nersemble, tmp_path, nersemble())
    assert camera.of_photograph(640, 480, "a").width == 640
    with pytest.raises(InputError, match=r"a: field '220700191: width' is 640, but its photographs have 320 px"):
        camera.of_photograph(320, 240, "a")
    (camera, *_) = read(read_krt, tmp_path, krt(POSES))
    assert camera.of_photograph(640, 480, "a").height == 480
    with pytest.raises(InputError, match="principal point at \\(320, 240\\) of a photograph of 320 x 240 px"):
        camera.of_photograph(320, 240, "a")


MIRRORED = np.diag([-1.0, 1, 1]) @ POSES["220700191"]
FAULTS = {
    "mirrored": (read_krt, krt({"a": MIRRORED}), r"'a: R' is mirrored"),
    "scaled": (read_krt, krt({"a": 2 * POSES["220700191"]}), r"'a: R' is no rotation"),
    "short": (read_krt, krt(POSES)[:-60], r"camera|lines|numbers"),
    "twice": (read_krt, krt(POSES) + krt(POSES), r"name of two cameras"),
    "words": (read_krt, krt({"a": POSES["220700191"]}).replace("900", "nan"), r"'a: K' is not 3 x 3 finite"),
    "no poses": (read_nersemble, nersemble(world_2_cam={}), r"'world_2_cam'"),
    "negative": (read_nersemble, nersemble(intrinsics=(-K).tolist()), r"K' must be|focal"),
    "transposed": (read_nersemble, nersemble(intrinsics=K.T.tolist()), r"upper triangular"),
    "half a pixel": (read_nersemble, nersemble(width=639.5), r"'width' is no number"),
    "list": (read_facescape, "[1]", r"not a mapping"),
    "other json": (read_facescape, nersemble(), r"<n>_K"),
    "no pose": (read_facescape, facescape(**{"9_Rt": None}), r"'9_Rt' is not 3 x 4"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_no_calibration_is_refused_by_field(tmp_path, name):
    reader, text, message = FAULTS[name]
    with pytest.raises(InputError, match=message) as caught:
        read(reader, tmp_path, text)
    assert "\n" not in str(caught.value)
