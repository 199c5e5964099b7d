"""Calibration files of multi-view sets: NeRSemble's, Multiface's and FaceScape's, each read into `CalibratedCamera`s.

All three say where the world lies for a camera, with OpenCV's axes (x right, y down, z forward), and count pixels from
the first one's centre, as OpenCV does. Units differ: NeRSemble has metres, Multiface millimetres, and FaceScape the
arbitrary unit of each reconstruction, for which `Rt_scale_dict.json` has the way to millimetres.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import cv2
import numpy as np

from mfnet.errors import InputError, fail
from mfnet.io.files import parse_json, read_bytes

Unit = Literal["m", "mm"]
METRES: dict[Unit, float] = {"m": 1.0, "mm": 1e-3}
"""Unit -> its length in metres."""
MOST_CAMERAS = 1000
"""Cameras in one file at most."""
_MAX_BYTES = 1 << 20
_ROTATION = 1e-3
"""How far R R^T may be from the identity: files are written with few digits."""
_CENTRE = 0.25
"""Farthest that a principal point lies from the middle of the photograph, share of its side."""
_LINES = 8
"""Of a camera in a KRT file."""


@dataclass(frozen=True)
class CalibratedCamera:
    """A pinhole camera as a calibration file gives it: pixel ~ K (R x + t), after `distortion` is undone."""

    name: str
    """As the set calls it: a serial number, or that of the photograph."""
    K: np.ndarray
    """[3, 3] in this project's pixels, whose centres are at +0.5."""
    R: np.ndarray
    """[3, 3] rotation from world to camera, OpenCV's axes."""
    t: np.ndarray
    """[3] in `unit`: x_camera = R x + t."""
    width: int | None
    """Of the photograph that K is for, pixels; None: the file does not say."""
    height: int | None
    """As `width`."""
    unit: Unit | None
    """Of the world; None: arbitrary, as after a reconstruction from photographs alone."""
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(5))
    """[5] of the lens, OpenCV's k1, k2, p1, p2, k3."""

    @property
    def centre(self) -> np.ndarray:
        """[3] where the camera stands in the world."""
        return -self.R.T @ self.t

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points [N, 3] -> pixels [N, 2] of the undistorted photograph, and depth [N] (> 0 before the camera)."""
        seen = points @ self.R.T + self.t
        image = seen @ self.K.T
        return image[:, :2] / image[:, 2:], seen[:, 2]

    def undistorted(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels [N, 2] of the photograph -> [N, 2] where a lens without distortion would show the same."""
        if not self.distortion.any():
            return pixels
        ideal = cv2.undistortPoints(np.ascontiguousarray(pixels, np.float64)[:, None], self.K, self.distortion)
        return ideal[:, 0] @ self.K[:2, :2].T + self.K[:2, 2]

    def straightened(self, image: np.ndarray) -> np.ndarray:
        """The photograph [H, W, 3] uint8 as a lens without distortion would have taken it; black beyond its edges."""
        if not self.distortion.any():
            return image
        return cv2.undistort(image, self.K - HALF_PIXEL, self.distortion)

    def in_metres(self, unit: float | None = None) -> Self:
        """The same camera before a world in metres.

        unit: length in metres of the world's unit, for a camera that does not know its own; ValueError without it.
        """
        length = METRES[self.unit] if self.unit is not None else unit
        if length is None:
            raise ValueError(f"camera {self.name}: its unit is not known")
        return replace(self, t=self.t * length, unit="m")

    def moved(self, scale: float, rotation: np.ndarray, shift: np.ndarray, unit: Unit | None) -> Self:
        """The same camera before the world whose points are y = rotation (scale x) + shift, in `unit`."""
        turned = self.R @ rotation.T
        return replace(self, R=turned, t=scale * self.t - turned @ shift, unit=unit)

    def of_photograph(self, width: int, height: int, where: str | Path) -> Self:
        """The camera of a photograph of that size.

        Raises InputError, which names `where`, unless K is for that size: one for another size gives a wrong head, not
        an error. Where the file does not say the size, the principal point must lie near the photograph's middle.
        """
        for name, own, seen in (("width", self.width, width), ("height", self.height, height)):
            if own is not None and own != seen:
                fail(where, f"{self.name}: {name}", f"is {own}, but its photographs have {seen} px; scale K with them")
        off = np.abs(self.K[:2, 2] / [width, height] - 0.5)
        if off.max() > _CENTRE:
            x, y = self.K[:2, 2]
            fail(
                where,
                f"{self.name}: K",
                f"has its principal point at ({x:.0f}, {y:.0f}) of a photograph of {width} x {height} px; "
                "it is for another size: scale K with the photographs",
            )
        return replace(self, width=width, height=height)


HALF_PIXEL = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
"""From K with OpenCV's pixels to K with the project's."""


def read_nersemble(path: str | Path) -> list[CalibratedCamera]:
    """NeRSemble's ``camera_params.json``: metres; K is shared by all cameras, which are named by serial number.

    Raises InputError, which names file and field, for anything else.
    """
    content = _json(path)
    poses = content.get("world_2_cam")
    if not isinstance(poses, dict) or not 0 < len(poses) <= MOST_CAMERAS:
        fail(path, "world_2_cam", f"is no mapping of 1 to {MOST_CAMERAS} serial numbers to 4 x 4 numbers")
    K = _numbers(content.get("intrinsics"), (3, 3), path, "intrinsics")
    size = _size(content, "", path)
    cameras = []
    for name, pose in sorted(poses.items()):
        matrix = _numbers(pose, (4, 4), path, f"world_2_cam.{name}")
        if np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-6:
            fail(path, f"world_2_cam.{name}", "must end in the row 0, 0, 0, 1")
        cameras.append(make_camera(path, name, (K + HALF_PIXEL, matrix[:3]), size, "m"))
    return cameras


def read_krt(path: str | Path) -> list[CalibratedCamera]:
    """Multiface's ``KRT``: millimetres; per camera its name, K, five numbers of the lens, [R | t]; no image size.

    Raises InputError, which names file and camera, for anything else.
    """
    text = read_bytes(path, _MAX_BYTES).decode("utf-8", "replace")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    count, rest = divmod(len(lines), _LINES)
    if not 0 < count <= MOST_CAMERAS or rest:
        fail(path, "(lines)", f"{len(lines)} lines are not 1 to {MOST_CAMERAS} cameras of {_LINES} lines each")
    cameras = []
    for start in range(0, len(lines), _LINES):
        (head, *intrinsics), lens, extrinsics = lines[start : start + 4], lines[start + 4], lines[start + 5 :][:3]
        if len(head) != 1:
            fail(path, f"camera {start // _LINES + 1}", "must begin with its name alone on a line")
        name = head[0]
        K = _numbers(intrinsics, (3, 3), path, f"{name}: K")
        pose = _numbers(extrinsics, (3, 4), path, f"{name}: [R | t]")
        distortion = _numbers(lens, (5,), path, f"{name}: distortion")
        cameras.append(make_camera(path, name, (K + HALF_PIXEL, pose), (None, None), "mm", distortion))
    _require_distinct(cameras, path)
    return cameras


def read_facescape(path: str | Path) -> list[CalibratedCamera]:
    """The ``params.json`` of FaceScape's multi-view photographs: arbitrary unit; cameras are named by photograph.

    Keys are ``<n>_K``, ``<n>_Rt``, ``<n>_distortion``, ``<n>_width``, ``<n>_height``; cameras whose ``<n>_valid`` is
    false were not found by the reconstruction and are left out.

    Raises InputError, which names file and field, for anything else.
    """
    content = _json(path)
    names = sorted((key[:-2] for key in content if key.endswith("_K") and key[:-2].isdecimal()), key=int)
    if not 0 < len(names) <= MOST_CAMERAS:
        fail(path, "<n>_K", f"is there {len(names)} times, not 1 to {MOST_CAMERAS}; give FaceScape's params.json")
    cameras = []
    for name in names:
        if content.get(f"{name}_valid", True) is False:
            continue
        K = _numbers(content[f"{name}_K"], (3, 3), path, f"{name}_K")
        pose = _numbers(content.get(f"{name}_Rt"), (3, 4), path, f"{name}_Rt")
        lens = content.get(f"{name}_distortion")
        distortion = np.zeros(5) if lens is None else _numbers(lens, (5,), path, f"{name}_distortion")
        size = _size(content, f"{name}_", path)
        cameras.append(make_camera(path, name, (K + HALF_PIXEL, pose), size, None, distortion))
    if not cameras:
        fail(path, "<n>_valid", "is false for every camera")
    return cameras


class FaceScapeScales:
    """FaceScape's ``Rt_scale_dict.json``: from the arbitrary world of a reconstruction to millimetres."""

    def __init__(self, path: str | Path) -> None:
        """Raises InputError, which names the file, where it is not JSON."""
        self.path, self._entries = path, _json(path)

    def find(self, subject: str, expression: str) -> tuple[float, np.ndarray, np.ndarray] | None:
        """(scale, rotation [3, 3], shift [3]) as `CalibratedCamera.moved` takes them; None where the file has none.

        Raises InputError, which names file and field, for an entry that is none.
        """
        entry = self._entries.get(subject, {})
        entry = entry.get(expression) if isinstance(entry, dict) else None
        if entry is None:
            return None
        where = f"{subject}.{expression}"
        if not isinstance(entry, list) or len(entry) != 2:
            fail(self.path, where, "is not [scale, Rt]")
        scale = float(_numbers(entry[0], (), self.path, f"{where}: scale"))
        pose = np.asarray(entry[1], dtype=object)
        matrix = _numbers(entry[1], (4, 4) if pose.shape[:1] == (4,) else (3, 4), self.path, f"{where}: Rt")
        if scale <= 0:
            fail(self.path, f"{where}: scale", f"is {scale:g}; it must be above 0")
        return scale, _rotation(matrix[:3, :3], self.path, f"{where}: Rt"), matrix[:3, 3]


def make_camera(
    path: str | Path,
    name: str,
    matrices: tuple[np.ndarray, np.ndarray],
    size: tuple[int | None, int | None],
    unit: Unit | None,
    distortion: np.ndarray | None = None,
) -> CalibratedCamera:
    """A camera of the file `path`, checked: matrices = (K [3, 3] in this project's pixels, [R | t] [3, 4]).

    size = (width, height). Raises InputError where K is no camera's or R is no rotation.
    """
    K, pose = matrices
    if np.abs(K[[1, 2, 2, 2], [0, 0, 1, 2]] - [0, 0, 0, 1]).max() > 1e-6:
        fail(path, f"{name}: K", "must be upper triangular and end in the row 0, 0, 1")
    if not (K[0, 0] > 0 and K[1, 1] > 0 and 0.5 < K[0, 0] / K[1, 1] < 2 and abs(K[0, 1]) < 0.1 * K[0, 0]):
        fail(path, f"{name}: K", f"has focal lengths {K[0, 0]:g} and {K[1, 1]:g} px and skew {K[0, 1]:g}")
    rotation = _rotation(pose[:, :3], path, f"{name}: R")
    return CalibratedCamera(
        name, K, rotation, pose[:, 3], *size, unit, np.zeros(5) if distortion is None else distortion
    )


def _rotation(matrix: np.ndarray, path: str | Path, name: str) -> np.ndarray:
    """The rotation [3, 3] nearest to `matrix`. Raises InputError where that is none."""
    determinant = float(np.linalg.det(matrix))
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > _ROTATION:
        fail(path, name, f"is no rotation (determinant {determinant:.3g}); scale belongs into t")
    if determinant < 0:
        fail(path, name, "is mirrored (determinant -1): one axis points the wrong way")
    left, _, right = np.linalg.svd(matrix)
    return left @ right


def _require_distinct(cameras: list[CalibratedCamera], path: str | Path) -> None:
    names = [camera.name for camera in cameras]
    double = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if double is not None:
        fail(path, double, "is the name of two cameras")


def _json(path: str | Path) -> dict[str, Any]:
    content = parse_json(read_bytes(path, _MAX_BYTES), path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a mapping of names to values")
    return content


def _numbers(value: object, shape: tuple[int, ...], path: str | Path, name: str) -> np.ndarray:
    """Finite numbers of a given shape, float64; a list of one list of numbers counts as that list."""
    try:
        array = np.array(value, np.float64)  # text too: a KRT's
        if array.shape == (1, *shape) and shape:
            array = array[0]
        if array.shape != shape or not np.isfinite(array).all():
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        size = " x ".join(map(str, shape)) or "one"
        fail(path, name, f"is not {size} finite numbers")
    return array


def _size(content: dict[str, Any], prefix: str, path: str | Path) -> tuple[int | None, int | None]:
    """(width, height) under their names with a prefix."""
    width, height = (_pixels(content.get(prefix + side), path, prefix + side) for side in ("width", "height"))
    return width, height


def _pixels(value: object, path: str | Path, name: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 16:
        fail(path, name, "is no number of pixels")
    return value
