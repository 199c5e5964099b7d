"""Cameras of scenes: transforms.json and COLMAP's text, told apart from the others, matched to photographs."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mfnet.errors import InputError
from mfnet.io.scenes import camera_of, read_cameras

POSE = Rotation.from_euler("yxz", [30, 10, 5], degrees=True).as_matrix()  # of the camera in the world, OpenCV's axes
CENTRE = np.array([0.4, -0.1, 2.0])
POINT = np.array([[0.1, 0.2, 5.0]])
"""In the camera's axes."""


def transforms(**changed) -> dict:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = POSE @ np.diag([1, -1, -1]), CENTRE
    frame = {"file_path": "images/a.png", "transform_matrix": matrix.tolist()}
    return {"fl_x": 500.0, "fl_y": 510.0, "cx": 320.5, "cy": 239.5, "w": 640, "h": 480, "frames": [frame], **changed}


def write_colmap(folder: Path) -> Path:
    quaternion = Rotation.from_matrix(POSE.T).as_quat()[[3, 0, 1, 2]]
    numbers = " ".join(map(repr, [*quaternion.tolist(), *(-POSE.T @ CENTRE).tolist()]))
    (folder / "cameras.txt").write_text("# comment\n1 PINHOLE 640 480 500 510 320.5 239.5\n")
    (folder / "images.txt").write_text(f"# comment\n7 {numbers} 1 images/a.png\n1 2 3\n8 {numbers} 1 b c.png\n\n")
    return folder


def check(camera) -> None:
    world = CENTRE + POINT @ POSE.T
    pixel, depth = camera.project(world)
    np.testing.assert_allclose(depth, POINT[:, 2])
    np.testing.assert_allclose(pixel, POINT[:, :2] / 5 * [500, 510] + [320.5, 239.5], atol=1e-9)
    assert (camera.width, camera.height, camera.unit) == (640, 480, None)


def test_both_say_where_the_camera_stands(tmp_path):
    (tmp_path / "transforms.json").write_text(json.dumps(transforms()))
    check(read_cameras(tmp_path / "transforms.json")[0])
    cameras = read_cameras(write_colmap(tmp_path))
    assert [camera.name for camera in cameras] == ["images/a.png", "b c.png"]
    check(cameras[0])
    check(read_cameras(tmp_path / "images.txt")[1])


def test_the_angle_of_view_stands_for_the_focal_length(tmp_path):
    content = transforms()
    del content["fl_x"], content["fl_y"]
    content["camera_angle_x"] = 2 * float(np.arctan(320 / 500))
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert read_cameras(tmp_path / "a.json")[0].K[0, 0] == pytest.approx(500)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"frames": []}, "frames"),
        ({"camera_model": "OPENCV_FISHEYE"}, "camera_model"),
        ({"w": None}, "w"),
        ({"fl_x": -1.0}, "focal"),
        ({"frames": [{"file_path": "a", "transform_matrix": (-np.eye(4)).tolist()}]}, "mirrored"),
        ({"frames": [{"file_path": "a", "transform_matrix": [[1, 2]]}]}, "transform_matrix"),
    ],
)
def test_what_is_no_camera_is_refused_by_name(tmp_path, changed, said):
    (tmp_path / "a.json").write_text(json.dumps(transforms(**changed)))
    with pytest.raises(InputError, match=said) as caught:
        read_cameras(tmp_path / "a.json")
    assert "a.json" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cameras.txt", "1 FISHEYE 640 480 1 2 3\n", "line 1.*camera model"),
        ("cameras.txt", "1 PINHOLE 640 480 500\n", "parameters"),
        ("images.txt", "1 1 0 0\n", "line 1"),
        ("images.txt", "1 1 0 0 0 0 0 0 9 a.png\n\n", "names camera 9"),
        ("images.txt", "1 3 0 0 0 0 0 0 1 a.png\n\n", "quaternion"),
    ],
)
def test_damaged_text_is_refused_by_line(tmp_path, name, content, said):
    write_colmap(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        read_cameras(tmp_path)


def test_json_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match="no cameras that are known"):
        read_cameras(tmp_path / "a.json")


def test_a_photograph_finds_its_camera_by_name_or_by_its_folder(tmp_path):
    cameras = read_cameras(write_colmap(tmp_path))
    assert camera_of(cameras, Path("x/a.jpg"), "where") is cameras[0]
    assert camera_of(cameras, Path("x/b c.png"), "where") is cameras[1]
    assert camera_of(cameras, Path("cam_a/0001.png"), "where") is cameras[0]
    with pytest.raises(InputError, match="no cameras of where"):
        camera_of(cameras, Path("x/d.png"), "where")
