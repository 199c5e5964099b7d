"""The contact sheet of an archive: one person as every camera saw them, so that a wrong sign of yaw is seen at once."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from mfnet.errors import InputError
from mfnet.io.images import read_photo

TILE = (96, 128)
"""Height and width of a picture, px."""
_HEAD, _SIDE = 44, 40  # px above for cameras, and to the left for flashes
_GREY, _INK = 225, (40, 40, 40)


def contact_sheet(root: str | Path, manifest: pd.DataFrame) -> np.ndarray:
    """RGB uint8 [H, W, 3]: one recording, cameras by yaw from left to right, then those without one, a row per flash.

    The recording is the one of which the manifest has most images, the first of several. At yaw > 0 the camera stands
    on the subject's right, and the nose points to the right of the picture. What the manifest lacks, or cannot be
    decoded, stays grey.
    """
    keys = ["subject", "session", "recording"]
    counts = manifest.groupby(keys, sort=True).size()
    chosen = manifest.set_index(keys).sort_index().loc[[counts.idxmax()]].reset_index()
    yaws = manifest.groupby("camera")["yaw"].median().astype(float).to_dict()
    cameras = sorted(yaws, key=lambda camera: (np.isnan(yaws[camera]), yaws[camera]))  # the sort is stable
    lights = sorted(chosen["illumination"].unique().tolist())
    height, width = TILE
    sheet = np.full((_HEAD + height * len(lights), _SIDE + width * len(cameras), 3), 255, np.uint8)
    sheet[_HEAD:, _SIDE:] = _GREY
    for column, camera in enumerate(cameras):
        yaw = "ceiling" if np.isnan(yaws[camera]) else f"{yaws[camera]:+.0f}"
        _write(sheet, f"{camera}: {yaw}", (_SIDE + column * width + 4, 36))
    for row, light in enumerate(lights):
        _write(sheet, f"{light:02d}", (6, _HEAD + row * height + height // 2))
    subject, session, recording = chosen[keys].iloc[0]
    title = f"subject {subject}, session {session}, recording {recording}; camera: yaw, degrees"
    _write(sheet, f"{title}; > 0: the nose points to the right", (_SIDE + 4, 16))
    for image in chosen.to_dict("records"):
        top = _HEAD + lights.index(image["illumination"]) * height
        left = _SIDE + cameras.index(image["camera"]) * width
        _place(sheet[top : top + height, left : left + width], Path(root, image["path"]))
    return sheet


def _place(tile: np.ndarray, path: Path) -> None:
    """Draw a photograph into the middle of its tile; one that cannot be read leaves it grey."""
    try:
        photo = read_photo(path)
    except InputError:
        return
    scale = min(side / length for side, length in zip(TILE, photo.shape, strict=False))
    height, width = (max(1, round(scale * length)) for length in photo.shape[:2])
    top, left = (TILE[0] - height) // 2, (TILE[1] - width) // 2
    tile[top : top + height, left : left + width] = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)


def _write(sheet: np.ndarray, text: str, place: tuple[int, int]) -> None:
    cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, _INK, 1, cv2.LINE_AA)
