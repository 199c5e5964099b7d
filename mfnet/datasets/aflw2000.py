"""AFLW2000-3D: 2000 photographs, each with a .mat file of the same name beside it.

Of the .mat file three fields matter: ``pt3d_68`` [3, 68] (x right and y down in image pixels, depth), ``Pose_Para``
[1, 7] (pitch, yaw, roll in radians, then translation and scale) and nothing else. The 68 points are on the fitted 3D
face: those of a hidden cheek stay on the cheek. Pixels are taken as they stand, with no half-pixel shift.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfnet.errors import InputError
from mfnet.io.files import MissingFile, read_bytes
from mfnet.io.images import read_photo
from mfnet.io.mat import parse_mat

YAW_BINS = ("0-30", "30-60", "60-90")
"""Ranges of |yaw| in degrees, as customary on this set; the last one takes what lies beyond 90 too."""
_MAX_MAT = 1 << 18
_FIELDS = ("pt3d_68", "Pose_Para")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


class Rejected(ValueError):
    """An item that cannot be used; the message says why."""


@dataclass(frozen=True)
class AflwItem:
    """One annotated photograph."""

    name: str
    image: np.ndarray
    """[H, W, 3] uint8 RGB."""
    landmarks: np.ndarray
    """[68, 2] image px."""
    yaw: float
    """Degrees, as annotated; only its size is used (the sign convention is the data set's)."""

    @property
    def bin(self) -> str:
        return yaw_bin(self.yaw)


def yaw_bin(yaw: float) -> str:
    """The yaw range of an angle in degrees."""
    return YAW_BINS[min(int(abs(yaw) // 30), len(YAW_BINS) - 1)]


def image_files(root: str | Path) -> list[Path]:
    """The images of a folder that have a .mat file or lack one, in name order. InputError where there is none."""
    files = sorted(path for path in Path(root).glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise InputError(f"{root}: no image ({', '.join(IMAGE_SUFFIXES)}); it should hold AFLW2000-3D's pairs")
    return files


def read_item(path: str | Path) -> AflwItem:
    """Read an image and its .mat file. Raises Rejected with the reason where either cannot be used."""
    path = Path(path)
    try:
        pixels = read_photo(path)
    except InputError as error:
        raise Rejected(str(error)) from None
    fields = _read_mat(path.with_suffix(".mat"))
    landmarks, pose = fields["pt3d_68"], fields["Pose_Para"].ravel()
    if landmarks.shape != (3, 68) or not np.isfinite(landmarks).all():
        raise Rejected(f"pt3d_68 is {landmarks.shape}, expected finite (3, 68)")
    centre, (height, width) = (landmarks[:2].min(1) + landmarks[:2].max(1)) / 2, pixels.shape[:2]
    if not (0 <= centre[0] <= width and 0 <= centre[1] <= height) or np.ptp(landmarks[:2]) > 10 * max(width, height):
        raise Rejected(
            f"pt3d_68 lies around ({centre[0]:.0f}, {centre[1]:.0f}), outside an image of {width} x {height}"
        )
    if len(pose) < 3 or not np.isfinite(pose[:3]).all():
        raise Rejected(f"Pose_Para has {len(pose)} values, expected finite pitch, yaw, roll")
    return AflwItem(path.stem, pixels, landmarks[:2].T.copy(), float(np.degrees(pose[1])))


def _read_mat(path: Path) -> dict[str, np.ndarray]:
    try:
        content = parse_mat(read_bytes(path, _MAX_MAT), set(_FIELDS))
    except MissingFile:
        raise Rejected("no .mat file") from None
    except ValueError as error:
        raise Rejected(f".mat file cannot be read: {error}") from None
    for name in _FIELDS:
        if name not in content:
            raise Rejected(f".mat file has no {name} of real numbers")
    return content
