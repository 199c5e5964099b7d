"""The contact sheet: every camera in its column by yaw, every flash in its row, and holes for what is not there."""

import cv2
import numpy as np
import pandas as pd
import pytest

from mfnet.datasets import multipie
from mfnet.export.contact import _HEAD, _SIDE, TILE, contact_sheet


@pytest.fixture
def archive(tmp_path):
    """Two recordings of flat images whose red is the camera's number in YAW and whose green is the flash's."""
    rows = []
    for recording, cameras in ((1, [*multipie.YAW, *multipie.CEILING]), (2, ["05_1"])):
        for camera in cameras:
            for light in (0, 7):
                path = multipie.image_path("003", 1, recording, camera, light)
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                colour = (0, 10 * light, 10 * cameras.index(camera))  # OpenCV's order is BGR
                cv2.imwrite(str(tmp_path / path), np.full((480, 640, 3), colour, np.uint8))
                rows.append((path, *multipie.parse_path(path), multipie.YAW.get(camera)))
    names = ["path", "subject", "session", "recording", "camera", "illumination", "yaw"]
    return tmp_path, pd.DataFrame(rows, columns=names)


def tile(sheet: np.ndarray, row: int, column: int) -> list[int]:
    return sheet[_HEAD + row * TILE[0] + 50, _SIDE + column * TILE[1] + 60].tolist()


def test_cameras_stand_by_yaw_and_flashes_below_each_other(archive):
    sheet = contact_sheet(*archive)
    assert sheet.shape == (_HEAD + 2 * TILE[0], _SIDE + 15 * TILE[1], 3)
    by_yaw = [*sorted(multipie.YAW, key=lambda camera: multipie.YAW[camera]), *sorted(multipie.CEILING)]
    number = [*multipie.YAW, *multipie.CEILING].index
    for row, light in enumerate((0, 7)):
        assert [tile(sheet, row, column) for column in range(15)] == [
            [10 * number(camera), 10 * light, 0] for camera in by_yaw
        ]
    assert np.array_equal(sheet, contact_sheet(*archive))


def test_what_is_missing_or_broken_stays_grey(archive):
    root, manifest = archive
    lost = manifest[manifest["camera"].eq("11_0") & manifest["illumination"].eq(7)].index
    broken = root / manifest.loc[manifest["camera"].eq("05_1"), "path"].iloc[0]
    broken.write_bytes(broken.read_bytes()[:100])
    sheet = contact_sheet(root, manifest.drop(lost))
    assert tile(sheet, 1, 0) == tile(sheet, 0, 6) == [225] * 3 and tile(sheet, 0, 0) != [225] * 3
