import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from mfnet.datasets.aflw2000 import Rejected, image_files, read_item, yaw_bin
from mfnet.errors import InputError


def write_pair(folder, name="image00002", **changes):
    Image.fromarray(np.full((45, 40, 3), 90, np.uint8)).save(folder / f"{name}.jpg")
    points = np.vstack([np.linspace(5, 30, 68), np.linspace(8, 35, 68), np.zeros(68)])
    fields = {"pt3d_68": points, "Pose_Para": np.array([[0.1, -0.7, 0.2, 0, 0, 0, 1e-3]])} | changes
    savemat(folder / f"{name}.mat", {key: value for key, value in fields.items() if value is not None})
    return folder / f"{name}.jpg"


def test_a_pair_is_read(tmp_path):
    item = read_item(write_pair(tmp_path))
    assert item.name == "image00002" and item.image.shape == (45, 40, 3) and item.landmarks.shape == (68, 2)
    np.testing.assert_allclose(item.landmarks[0], [5, 8])
    assert item.yaw == pytest.approx(np.degrees(-0.7)) and item.bin == "30-60"


def test_yaw_ranges():
    assert [yaw_bin(yaw) for yaw in (0, -29.9, 30, -59, 60, 89, 105)] == ["0-30"] * 2 + ["30-60"] * 2 + ["60-90"] * 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pt3d_68": None}, "no pt3d_68"),
        ({"pt3d_68": np.zeros((2, 68))}, "pt3d_68 is"),
        ({"pt3d_68": np.full((3, 68), np.nan)}, "pt3d_68 is"),
        ({"pt3d_68": np.array(["a", "b"])}, "no pt3d_68 of real numbers"),
        ({"pt3d_68": np.linspace(0, 1e7, 204).reshape(3, 68)}, "outside an image of 40 x 45"),
        ({"pt3d_68": np.full((3, 68), 1e7)}, "outside an image of 40 x 45"),
        ({"pt3d_68": np.array([[np.ones(3), "text"]], object)}, "no pt3d_68"),
        ({"pt3d_68": np.zeros((3, 1 << 22))}, "larger than"),
        ({"Pose_Para": None}, "no Pose_Para"),
        ({"Pose_Para": np.zeros((1, 2))}, "Pose_Para has 2"),
    ],
)
def test_a_bad_annotation_is_rejected_with_its_reason(tmp_path, changes, reason):
    with pytest.raises(Rejected, match=reason):
        read_item(write_pair(tmp_path, **changes))


def test_missing_and_broken_files_are_rejected(tmp_path):
    path = write_pair(tmp_path)
    path.with_suffix(".mat").write_bytes(b"MATLAB 5.0 MAT-file, broken")
    with pytest.raises(Rejected, match="cannot be read"):
        read_item(path)
    path.with_suffix(".mat").unlink()
    with pytest.raises(Rejected, match=r"no \.mat"):
        read_item(path)
    path.write_bytes(b"")
    with pytest.raises(Rejected, match="not a readable image"):
        read_item(path)


def test_files_come_in_name_order(tmp_path):
    with pytest.raises(InputError, match="no image"):
        image_files(tmp_path)
    for name in ("b", "a", "c"):
        write_pair(tmp_path, name)
    assert [path.stem for path in image_files(tmp_path)] == ["a", "b", "c"]
