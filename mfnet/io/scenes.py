"""Calibrated cameras of any of the formats that are read: told apart by what a file holds, matched to photographs.

``transforms.json`` (NeRF, instant-ngp, nerfstudio) has poses from camera to world with OpenGL's axes; COLMAP's text
files have them from world to camera with OpenCV's. Both come from photographs alone, so their unit is arbitrary, and
both count pixels as this project does. The other formats are `mfnet.io.cameras`'s.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from mfnet.errors import InputError, fail
from mfnet.io.cameras import (
    MOST_CAMERAS,
    CalibratedCamera,
    make_camera,
    read_facescape,
    read_krt,
    read_nersemble,
)
from mfnet.io.files import parse_json, read_bytes

_MAX_BYTES = 256 << 20
"""COLMAP's images.txt lists every point of every photograph."""
_MAX_JSON = 1 << 24
_OPENGL = np.diag([1.0, -1.0, -1.0])
"""From OpenGL's axes of a camera (y up, z backwards) to OpenCV's, and back."""
_MODELS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
}
"""COLMAP's camera models that are read -> their parameters."""
_LARGEST = 1e12
"""Of numbers: no focal length and no principal point is."""
_LENS = ("k1", "k2", "p1", "p2", "k3")
_PREFIXES = ("", "cam_")
"""Of a camera's name in the name of its photograph, or of the folder that it lies in."""


def read_cameras(path: str | Path) -> list[CalibratedCamera]:
    """The cameras of a file, or of a folder with COLMAP's ``cameras.txt`` and ``images.txt``.

    Raises InputError, which names file and field, for what is none of the formats.
    """
    path = Path(path)
    if path.is_dir() or path.name in ("cameras.txt", "images.txt"):
        return read_colmap(path if path.is_dir() else path.parent)
    if path.suffix.lower() != ".json":
        return read_krt(path)
    content = parse_json(read_bytes(path, _MAX_JSON), path)
    if isinstance(content, dict) and "frames" in content:
        return _transforms(content, path)
    if isinstance(content, dict) and "world_2_cam" in content:
        return read_nersemble(path)
    if isinstance(content, dict) and any(key.endswith("_K") for key in content):
        return read_facescape(path)
    raise InputError(
        f"{path}: no cameras that are known here: transforms.json has 'frames', NeRSemble's camera_params.json "
        "'world_2_cam', FaceScape's params.json '0_K'"
    )


def camera_of(cameras: Sequence[CalibratedCamera], photograph: Path, where: str | Path) -> CalibratedCamera:
    """The camera that took a photograph: its name is that of the file, with or without ending, or of its folder.

    Raises InputError where none or several are.
    """
    own = {photograph.name, photograph.stem, photograph.parent.name}
    names = {f"{prefix}{name}": camera for camera in cameras for prefix in _PREFIXES for name in _names(camera)}
    found = {id(camera): camera for name, camera in names.items() if name in own}
    if len(found) != 1:
        examples = ", ".join(camera.name for camera in cameras[:3])
        raise InputError(
            f"{photograph}: {len(found) or 'no'} cameras of {where} are of that name (it has {examples}, ...); name "
            "photographs, or the folders that they lie in, after their cameras"
        )
    return next(iter(found.values()))


def _names(camera: CalibratedCamera) -> set[str]:
    inside = Path(camera.name)
    return {camera.name, inside.name, inside.stem}


def _transforms(content: dict[str, Any], path: Path) -> list[CalibratedCamera]:
    """The cameras of ``transforms.json``; what a frame does not say of its lens, the file says for all."""
    frames = content["frames"]
    if not isinstance(frames, list) or not 0 < len(frames) <= MOST_CAMERAS:
        fail(path, "frames", f"is no list of 1 to {MOST_CAMERAS} frames")
    cameras = []
    for number, frame in enumerate(frames):
        where = f"frames[{number}]"
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
            fail(path, where, "has no file_path")
        values = content | frame
        model = values.get("camera_model", "OPENCV")
        if model not in ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE"):
            fail(path, f"{where}: camera_model", f"is {str(model)[:40]}; PINHOLE and OPENCV are read")
        matrix = _matrix(frame.get("transform_matrix"), path, f"{where}: transform_matrix")
        rotation = _OPENGL @ matrix[:3, :3].T
        pose = np.column_stack([rotation, -rotation @ matrix[:3, 3]])
        width, height = (int(_number(values, name, path, where)) for name in ("w", "h"))
        K = _transforms_K(values, width, height, path, where)
        lens = np.array([_number(values, name, path, where, 0.0) for name in _LENS])
        cameras.append(make_camera(path, frame["file_path"], (K, pose), (width, height), None, lens))
    return cameras


def _transforms_K(values: dict[str, Any], width: int, height: int, path: Path, where: str) -> np.ndarray:
    """Intrinsics from focal lengths, or from the angle of view; without a principal point it is the middle."""
    if "fl_x" in values:
        fx = _number(values, "fl_x", path, where)
        fy = _number(values, "fl_y", path, where, fx)
    else:
        angle = _number(values, "camera_angle_x", path, where)
        if not 0 < angle < math.pi:
            fail(path, f"{where}: camera_angle_x", f"is {angle:g}; an angle of view lies between 0 and pi")
        fx = fy = width / 2 / math.tan(angle / 2)
    cx = _number(values, "cx", path, where, width / 2)
    cy = _number(values, "cy", path, where, height / 2)
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def read_colmap(folder: str | Path) -> list[CalibratedCamera]:
    """COLMAP's ``cameras.txt`` and ``images.txt``: cameras are named by photograph.

    Raises InputError, which names file and line, for anything else.
    """
    folder = Path(folder)
    lenses = dict(_colmap_lens(folder / "cameras.txt", *line) for line in _lines(folder / "cameras.txt"))
    path = folder / "images.txt"
    cameras = []
    for number, words in _lines(path, every=2):
        where = f"line {number}"
        if len(words) < 10:
            fail(path, where, "is not 'id qw qx qy qz tx ty tz camera name'")
        quaternion, shift = (_floats(part, path, where) for part in (words[1:5], words[5:8]))
        if words[8] not in lenses:
            fail(path, where, f"names camera {words[8][:40]}, which cameras.txt does not have")
        if not 0.9 < np.linalg.norm(quaternion) < 1.1:
            fail(path, where, "has a quaternion that is not of length 1")
        rotation = Rotation.from_quat(quaternion[[1, 2, 3, 0]]).as_matrix()
        K, size, lens = lenses[words[8]]
        name = " ".join(words[9:])
        cameras.append(make_camera(path, name, (K, np.column_stack([rotation, shift])), size, None, lens))
    if not 0 < len(cameras) <= MOST_CAMERAS:
        fail(path, "(lines)", f"are {len(cameras)} photographs, not 1 to {MOST_CAMERAS}")
    return cameras


def _colmap_lens(path: Path, number: int, words: list[str]) -> tuple[str, tuple]:
    where = f"line {number}"
    if len(words) < 5 or words[1] not in _MODELS:
        fail(path, where, f"has no camera model that is read ({', '.join(_MODELS)}); undistort the photographs")
    names, values = _MODELS[words[1]], _floats(words[2:], path, where)
    if len(values) != 2 + len(names):
        fail(path, where, f"has {len(values) - 2} parameters; {words[1]} has {', '.join(names)}")
    known = dict(zip(names, values[2:], strict=True))
    fx, fy = (known.get(name, known.get("f", 0.0)) for name in ("fx", "fy"))
    K = np.array([[fx, 0, known["cx"]], [0, fy, known["cy"]], [0, 0, 1]])
    lens = np.array([known.get(name, 0.0) for name in _LENS])
    return words[0], (K, (int(values[0]), int(values[1])), lens)


def _lines(path: Path, every: int = 1) -> list[tuple[int, list[str]]]:
    """(number, words) of each n-th line that is no comment: of a photograph's two, the second lists its points."""
    text = read_bytes(path, _MAX_BYTES).decode("utf-8", "replace")
    kept = [(number, line) for number, line in enumerate(text.splitlines(), 1) if not line.startswith("#")]
    words = ((number, line.split()) for number, line in kept[::every])
    return [line for line in words if line[1]]


def _floats(words: list[str], path: Path, where: str) -> np.ndarray:
    try:
        values = np.array(words, np.float64)
    except ValueError:
        fail(path, where, "does not hold the numbers that it should")
    if not np.isfinite(values).all():
        fail(path, where, "has a number that is not finite")
    return values


def _number(values: dict[str, Any], name: str, path: Path, where: str, default: float | None = None) -> float:
    value = values.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not -_LARGEST < value < _LARGEST:  # NaN too
        fail(path, f"{where}: {name}", "is missing" if value is None else "is no finite number")
    if name in ("w", "h") and not 0 < value < 1 << 16:
        fail(path, f"{where}: {name}", "is no number of pixels")
    return float(value)


def _matrix(value: object, path: Path, where: str) -> np.ndarray:
    try:
        matrix = np.array(value, np.float64)
    except (ValueError, TypeError, OverflowError):
        matrix = np.empty(0)
    if matrix.shape not in ((4, 4), (3, 4)) or not np.isfinite(matrix).all():
        fail(path, where, "is not 4 x 4 finite numbers")
    return matrix
