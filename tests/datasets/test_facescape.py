import dataclasses
import json

import numpy as np
import pytest

from mfnet.datasets import facescape
from mfnet.errors import InputError

TETRAHEDRON = np.array([[0, 0, 0], [60, 0, 0], [0, 80, 0], [0, 0, 50]], np.float64) - np.array([20, 20, -30])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)


def wild_item(index: int = 305) -> facescape.WildItem:
    turn = np.diag([1.0, -1.0, -1.0]) @ facescape.view_rotation(70, 0)
    return facescape.WildItem(index, turn, 150.0, np.array([0.1, -0.1, -10.0]))


def read_vertices(path) -> np.ndarray:
    return np.array([line.split()[1:] for line in path.read_text().splitlines() if line.startswith("v ")], np.float64)


def test_index_name_and_bin_follow_the_official_numbering():
    assert facescape.lab_name(154) == "04_2_00" and facescape.lab_index(4, 2, 0) == 154
    assert [facescape.lab_bin(view) for view in range(11)] == ["0"] + ["30"] * 8 + ["60"] * 2
    assert [wild_item(index).bin for index in (0, 99, 100, 399)] == ["0-5", "0-5", "5-30", "60-90"]


def test_view_rotations_are_rotations_with_the_project_sign():
    for yaw, pitch in facescape.LAB_VIEWS:
        rotation = facescape.view_rotation(yaw, pitch)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        nose = rotation[:, 2]  # OpenCV: x right, y down
        assert np.sign(round(nose[0], 9)) == np.sign(yaw) and np.sign(round(nose[1], 9)) == np.sign(pitch)


def test_view_rotations_are_the_official_ones(shared):
    official = np.load(shared / "facescape/predef/lab_rotations.npy")
    ours = np.stack([facescape.view_rotation(*angles) for angles in facescape.LAB_VIEWS])
    np.testing.assert_allclose(ours, official, atol=1e-6)
    centres = np.load(shared / "facescape/predef/lab_head_centers.npy")
    np.testing.assert_allclose([facescape.lab_camera(focal, 0)[2] for focal in range(3)], centres, rtol=1e-6)


def test_wild_item_survives_writing_and_reading(tmp_path):
    item = wild_item()
    facescape.write_wild_item(tmp_path, item, TETRAHEDRON, FACES, image())
    facescape.write_wild_predef(tmp_path, [item])
    (read,) = facescape.wild_items(tmp_path, tmp_path)
    assert (read.index, read.name, read.bin) == (305, "305", "60-90")
    camera = read.to_camera(read_vertices(facescape.mesh_path(tmp_path, read)))
    np.testing.assert_allclose((camera - read.head_centre) @ read.rotation, TETRAHEDRON, atol=1e-4)
    np.testing.assert_array_equal(facescape.read_image(tmp_path, read), image())


def test_lab_item_survives_writing_and_reading(tmp_path):
    facescape.write_lab_subject(tmp_path, 7, TETRAHEDRON, FACES)
    facescape.write_lab_view(tmp_path, 7, 1, 9, image())
    facescape.write_lab_predef(tmp_path)
    (item,) = facescape.lab_items(tmp_path, tmp_path)
    assert (item.subject, item.focal, item.view, item.name, item.bin) == (7, 1, 9, "07_1_09", "60")
    camera = item.to_camera(read_vertices(facescape.mesh_path(tmp_path, item)))
    np.testing.assert_allclose((camera - item.head_centre) @ item.rotation, TETRAHEDRON, atol=1e-4)
    centre = item.intrinsics @ item.head_centre
    np.testing.assert_allclose(centre[:2] / centre[2], 128)


def test_the_scan_is_the_front_of_the_head():
    below = TETRAHEDRON - [0, 100, 0]
    vertices = np.concatenate([TETRAHEDRON, below, TETRAHEDRON - [0, 0, 120]])
    kept, faces = facescape.front_of_head(vertices, np.concatenate([FACES, FACES + 4, FACES + 8]))
    np.testing.assert_array_equal(kept, TETRAHEDRON)
    np.testing.assert_array_equal(faces, FACES)


def test_canonical_head_has_the_standard_pupil_distance():
    moved = facescape.canonical_head(TETRAHEDRON * 0.01 + 3, left_pupil=[0.3, 0, 0], right_pupil=[-0.3, 0, 0])
    np.testing.assert_allclose(moved.mean(axis=0), 0, atol=1e-9)
    assert np.linalg.norm(moved[0] - moved[1]) == pytest.approx(0.6 * facescape.PUPIL_DISTANCE / 0.6)


BROKEN_CAMERAS = {
    "empty": "",
    "no lists": "[1, 2, 3]",
    "uneven": "[[1, 2], [3]]",
    "other shapes": json.dumps([[[1]], [[2]]]),
    "an object": "{}",
    "deep": "[" * 100_000,
    "integers beyond any float": json.dumps([[[10**400] * 3] * 3, [[0] * 4] * 3]),
    "digits without end": f"[[[{'9' * 6000}]]]",
    "not finite": json.dumps([[[float("nan")] * 3] * 3, [[0] * 4] * 3]),
    "megabytes": " " * (1 << 20),
    "no text": "\udcff",
}


@pytest.mark.parametrize("name", BROKEN_CAMERAS)
def test_a_broken_camera_file_is_named(tmp_path, name):
    (tmp_path / "camera.json").write_text(BROKEN_CAMERAS[name], errors="surrogateescape")
    with pytest.raises(InputError, match=r"camera\.json: "):
        facescape.read_camera(tmp_path / "camera.json")


def rig_item(focal: int = 1, view: int = 9) -> facescape.LabItem:
    intrinsics, rotation, centre = facescape.lab_camera(focal, view)
    extrinsics = np.column_stack([rotation, centre / facescape.PUPIL_DISTANCE])
    return facescape.LabItem(facescape.lab_index(0, focal, view), rotation, centre, intrinsics, extrinsics)


@pytest.mark.parametrize("focal", range(3))
@pytest.mark.parametrize("view", range(11))
def test_the_rig_itself_has_right_cameras(focal, view):
    item = rig_item(focal, view)
    assert facescape.camera_fault(item) is None
    rounded = dataclasses.replace(item, extrinsics=item.extrinsics.astype(np.float32).astype(np.float64))
    assert facescape.camera_fault(rounded) is None


def changed(array, index, factor=1.0, offset=0.0):
    array = array.copy()
    array[index] = array[index] * factor + offset
    return array


WRONG_CAMERAS = {
    "5 % farther": ("extrinsics", np.s_[:, 3], 1.05, 0, "head is 740.7 mm ahead"),
    "beside the axis": ("extrinsics", (0, 3), 1, 0.3, "head is 740.7 mm ahead"),
    "mirrored": ("extrinsics", np.s_[0, :3], -1, 0, "not a rotation"),
    "twice as large": ("extrinsics", np.s_[:, :3], 2, 0, "not a rotation"),
    "of another image size": ("intrinsics", np.s_[:2], 2, 0, "focal length 1200"),
    "of another focal length": ("intrinsics", (1, 1), 0.5, 0, "focal length 600, 300"),
    "principal point": ("intrinsics", (0, 2), 1, 5, "principal point 133"),
    "skew": ("intrinsics", (0, 1), 1, 3, "skew"),
    "last row": ("intrinsics", (2, 2), 2, 0, "last row"),
}


@pytest.mark.parametrize("name", WRONG_CAMERAS)
def test_a_wrong_camera_is_told_from_a_right_one(name):
    field, index, factor, offset, fault = WRONG_CAMERAS[name]
    item = rig_item()
    wrong = dataclasses.replace(item, **{field: changed(getattr(item, field), index, factor, offset)})
    assert fault in facescape.camera_fault(wrong)


def test_the_camera_of_another_view_is_a_wrong_one():
    wrong = dataclasses.replace(rig_item(1, 9), extrinsics=rig_item(1, 10).extrinsics)
    assert "view 9" in facescape.camera_fault(wrong)


def test_missing_parts_are_named(tmp_path):
    with pytest.raises(InputError, match="not a FaceScape benchmark"):
        facescape.wild_items(tmp_path, tmp_path)
    facescape.write_wild_item(tmp_path, wild_item(), TETRAHEDRON, FACES, image())
    facescape.write_wild_predef(tmp_path, [])
    np.save(tmp_path / "predef/wild_pupil_scales.npy", np.zeros(3))
    with pytest.raises(InputError, match=r"wild_pupil_scales.npy: shape \(3,\)"):
        facescape.wild_items(tmp_path, tmp_path)
    with pytest.raises(InputError, match="no image"):
        facescape.read_image(tmp_path, wild_item(3))


def test_stray_files_are_no_items(tmp_path):
    facescape.write_wild_item(tmp_path, wild_item(), TETRAHEDRON, FACES, image())
    facescape.write_wild_predef(tmp_path, [wild_item()])
    for name in ("999.obj", "abc.obj", "3.obj"):
        (tmp_path / "data/wild_gt_mesh" / name).write_text("")
    assert [item.index for item in facescape.wild_items(tmp_path, tmp_path)] == [305]
    assert [item.index for item in facescape.wild_items(tmp_path, tmp_path, also=("007",))] == [7, 305]
