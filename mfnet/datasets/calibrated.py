"""Calibrated multi-view sets behind the manifest of `mfnet.datasets.multipie`: NeRSemble v2, Multiface, FaceScape.

Their images are no training sets of one lab: subjects, sequences and cameras are named as each set likes. In the
manifest a session is a sequence (its rank among the names in the archive), a recording a frame of it, and the camera's
yaw follows from the rig: seen from the point that the optical axes have in common, relative to the camera before the
face. Every row carries its camera. Images are hashed whole: a JPEG has no checksum at its end.

A calibration that is none, or whose cameras look at no common point, is the reason why all its images are rejected.
"""

import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from mfnet.compute.executor import SERIAL, Compute
from mfnet.datasets import multipie
from mfnet.datasets.cameras import camera_columns
from mfnet.datasets.multipie import ANNOTATIONS, IMAGES, RejectedImage
from mfnet.datasets.rigs import Side, meeting_point, middle_camera, sides
from mfnet.errors import InputError
from mfnet.io.cameras import CalibratedCamera, read_facescape, read_facescape_scale, read_krt, read_nersemble
from mfnet.io.images import NoPhoto, check_photo, read_photo
from mfnet.io.walk import walk

UNNAMED = "unnamed"
"""Expression of a capture without folders of segments."""
_MAX_BYTES = 64 << 20
_CHUNK = 500  # files per unit of work
_SCALES = "Rt_scale_dict.json"
_MISSED = 0.25
"""How far outside its photograph, share of the side, a camera may have the point that the rig looks at."""


@dataclass(frozen=True)
class Layout:
    """How a set names its files."""

    image: re.Pattern[str]
    """Of an image's path; groups: capture (what is calibrated together), subject, scene, camera, frame, and maybe
    day."""
    calibration: str
    """Calibration file below the capture's folder."""
    read: Callable[[str | Path], list[CalibratedCamera]]
    aside: tuple[str, ...]
    """Folders that hold other things than photographs."""
    example: str


_ENDING = r"\.(?:jpg|jpeg|png)"
LAYOUTS: Mapping[str, Layout] = {
    "nersemble": Layout(
        re.compile(
            r"(?P<capture>(?P<subject>[0-9]{1,9}))/sequences/(?P<scene>[^/]+)/images/"
            rf"cam_(?P<camera>[^/_]+)_(?P<frame>[0-9]{{1,9}}){_ENDING}",
            re.IGNORECASE,
        ),
        "calibration/camera_params.json",
        read_nersemble,
        ("alpha_maps", "landmark2d", "annotations"),
        "017/sequences/EXP-1-head/images/cam_222200037_00012.jpg",
    ),
    "multiface": Layout(
        re.compile(
            r"(?P<capture>m--(?P<day>[0-9]{8}--[0-9]{4})--(?P<subject>[0-9]{1,9})--[A-Z]+)/images/"
            rf"(?:(?P<scene>[^/]+)/)?(?P<camera>[^/]+)/(?P<frame>[0-9]{{1,9}}){_ENDING}",
            re.IGNORECASE,
        ),
        "KRT",
        read_krt,
        ("tracked_mesh", "unwrapped_uv_1024", "audio", "metadata"),
        "m--20180227--0000--6795937--GHS/images/E001_Neutral_Eyes_Open/400002/000150.png",
    ),
    "facescape": Layout(
        re.compile(
            r"(?P<capture>(?P<subject>[0-9]{1,9})/(?P<scene>[^/]+))/(?P<frame>)(?P<camera>[0-9]{1,9})" + _ENDING,
            re.IGNORECASE,
        ),
        "params.json",
        read_facescape,
        (),
        "122/1_neutral/4.jpg",
    ),
}
"""`source.layout` -> its files; paths as the sets' own documents give them."""


def calibration_file(path: str, layout: str) -> str:
    """Path of the calibration that an image's camera comes from, relative to the archive's root."""
    match = LAYOUTS[layout].image.fullmatch(path)
    if match is None:
        raise ValueError(f"{path}: no image of {layout}")
    return f"{match['capture']}/{LAYOUTS[layout].calibration}"


def scan_calibrated(
    root: str | Path, layout: str, anchor: str | None = None, compute: Compute = SERIAL, decode: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the images of an archive in a `layout` of LAYOUTS: (manifest, rejected), both ordered by path.

    manifest: the columns of `multipie.scan`, elevation (of the camera, degrees) and those of CALIBRATION. rejected:
    path, reason. anchor: name of the camera before the face; None: the middle one of each rig. decode: whether every
    image is decoded, which finds damage inside its pixel data.

    Raises InputError where `root` is missing or holds no image that passes.
    """
    root, kind = Path(root), LAYOUTS[layout]
    if not root.is_dir():
        raise InputError(f"source.multipie: {root}: no such folder; name the one that holds {kind.example}")
    paths, rejected = _files(root, kind)
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    looked = [found for part in compute.map(partial(_look, str(root), decode), chunks, "scan") for found in part]
    good = [image for image in looked if isinstance(image, _Image)]
    rejected += [(image.path, image.reason) for image in looked if isinstance(image, _Refused)]
    rows: list[dict[str, Any]] = []
    by_capture: dict[str, list[_Image]] = {}
    for image in good:
        by_capture.setdefault(_match(kind, image.path)["capture"], []).append(image)
    scales = _Scales(root)
    for capture, images in by_capture.items():
        found, faults = _rows_of(root, kind, capture, images, anchor, scales)
        rows += found
        rejected += faults
    if not rows:
        reasons = Counter(reason for _, reason in rejected).most_common(2)
        told = ", ".join(f"{count} x {reason}" for reason, count in reasons) or "it is empty"
        raise InputError(f"source.multipie: {root}: no image such as {kind.example} that can be used ({told})")
    return _manifest(rows), pd.DataFrame(sorted(rejected), columns=["path", "reason"], dtype="str")


@dataclass(frozen=True)
class _Image:
    path: str
    checksum: str
    width: int
    height: int


@dataclass(frozen=True)
class _Refused:
    path: str
    reason: str


def _match(kind: Layout, path: str) -> re.Match[str]:
    match = kind.image.fullmatch(path)
    assert match is not None, path
    return match


def _files(root: Path, kind: Layout) -> tuple[list[str], list[tuple[str, str]]]:
    """(images of the layout, (path, reason) of what else is there)."""
    paths, faults = [], []
    beside = {kind.calibration.rpartition("/")[2], _SCALES, "color_calibration.json"}
    for found in walk(root, lambda folder: folder.rpartition("/")[2] not in kind.aside):
        name = found.path.rpartition("/")[2]
        ending = os.path.splitext(name)[1].lower()
        if found.fault is not None:
            faults.append((found.path, found.fault))
        elif found.is_folder or name in beside or name.startswith("._") or ending in ANNOTATIONS:
            continue
        elif kind.image.fullmatch(found.path):
            paths.append(found.path)
        elif ending in IMAGES:
            faults.append((found.path, f"image, but not named like {kind.example}"))
        else:
            faults.append((found.path, "stray file"))
    return sorted(paths), faults


def _look(root: str, decode: bool, paths: list[str]) -> list[_Image | _Refused]:
    """Hash and size of every image that is whole, or why it is not."""
    looked: list[_Image | _Refused] = []
    for path in paths:
        try:
            found = _Image(path, *_hash_and_size(os.path.join(root, path)))
            if decode:
                read_image(os.path.join(root, path))
            looked.append(found)
        except RejectedImage as error:
            looked.append(_Refused(path, str(error)))
    return looked


def _hash_and_size(path: str) -> tuple[str, int, int]:
    """(16 hex digits of the content's hash, width, height); nothing is decoded. Raises RejectedImage."""
    data = multipie.image_bytes(path, _MAX_BYTES)
    try:
        check_photo(data, ("JPEG", "PNG"))
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            width, height = image.size
    except NoPhoto as error:
        raise RejectedImage(str(error)) from None
    ends = b"\xff\xd9" if data.startswith(b"\xff\xd8") else b"IEND\xaeB`\x82"
    if ends not in data[-64:]:
        raise RejectedImage("broken image: truncated")
    return hashlib.sha256(data).hexdigest()[:16], width, height


def read_image(path: str | Path) -> np.ndarray:
    """Decode an image of an archive in any layout to [H, W, 3] uint8 RGB; raises RejectedImage.

    A PNG's checksums are held against its data, as Multi-PIE's; a JPEG has none.
    """
    if str(path).lower().endswith(".png"):
        return multipie.read_image(path)
    try:
        return read_photo(path)
    except InputError as error:
        raise RejectedImage(f"broken image: {str(error).removeprefix(f'{path}: ')}") from None


# ------------------------------------------------------------------------------------------------------------ captures
class _Scales:
    """FaceScape's file of scales, read once and where there is one."""

    def __init__(self, root: Path) -> None:
        self.path = root / _SCALES

    def apply(self, cameras: list[CalibratedCamera], subject: str, scene: str) -> list[CalibratedCamera]:
        """Cameras of an arbitrary world before one in millimetres, if the file knows the way."""
        number = re.match("[0-9]+", scene)
        if number is None or not self.path.is_file():
            return cameras
        found = read_facescape_scale(self.path, subject, number[0])
        return cameras if found is None else [camera.moved(*found, "mm") for camera in cameras]


def _rows_of(
    root: Path, kind: Layout, capture: str, images: list[_Image], anchor: str | None, scales: _Scales
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Manifest rows of one capture's images, and (path, reason) of those that have no camera that can be used."""
    calibration = f"{capture}/{kind.calibration}"
    try:
        cameras = {camera.name: camera for camera in kind.read(root / calibration)}
        match = _match(kind, images[0].path)
        if next(iter(cameras.values())).unit is None:
            moved = scales.apply(list(cameras.values()), match["subject"], match["scene"])
            cameras = {camera.name: camera for camera in moved}
        used = _of_photographs(cameras, images, kind, calibration)
        angles = _angles(used, anchor, calibration)
    except InputError as error:
        reason = f"calibration: {str(error).removeprefix(f'{root}/')}"
        return [], [(image.path, reason) for image in images]
    rows, faults = [], []
    for image in images:
        name = _match(kind, image.path)["camera"]
        if name in used:
            rows.append(_row(kind, image, used[name], angles[name]))
        else:
            faults.append((image.path, f"camera {name} is not in {calibration}"))
    return rows, faults


def _of_photographs(
    cameras: dict[str, CalibratedCamera], images: list[_Image], kind: Layout, where: str
) -> dict[str, CalibratedCamera]:
    """The cameras that took an image, by name, each of its photographs' size. Raises InputError where that is another.

    A camera whose photographs differ in size counts by the first; the others are found when they are cropped.
    """
    used: dict[str, CalibratedCamera] = {}
    for image in images:
        name = _match(kind, image.path)["camera"]
        if name in cameras and name not in used:
            used[name] = cameras[name].of_photograph(image.width, image.height, where)
    if not used:
        raise InputError(f"{where}: none of its cameras ({', '.join(sorted(cameras)[:3])}, ...) took an image")
    return used


def _angles(cameras: dict[str, CalibratedCamera], anchor: str | None, where: str) -> dict[str, Side]:
    """The side of each camera. Raises InputError for an unknown anchor, or where the cameras look at nothing common."""
    names, rig = list(cameras), list(cameras.values())
    if anchor is not None and anchor not in cameras:
        raise InputError(f"{where}: no photographs of source.anchor {anchor}; known are {', '.join(sorted(names))}")
    fault = rig_fault(rig)
    if fault is not None:
        raise InputError(f"{where}: {fault}")
    before = middle_camera(rig) if anchor is None else names.index(anchor)
    return dict(zip(names, sides(rig, before), strict=True))


OTHERWISE: Mapping[str, Callable[[CalibratedCamera], CalibratedCamera]] = {
    "its cameras' y and z axes point up and backwards, as OpenGL's do": lambda camera: replace(
        camera, R=np.diag([1.0, -1, -1]) @ camera.R, t=camera.t * [1, -1, -1]
    ),
    "its poses lead from the camera to the world": lambda camera: replace(camera, R=camera.R.T, t=camera.centre),
}
"""What is often the matter with poses -> the cameras as they should be then."""


def rig_fault(cameras: list[CalibratedCamera]) -> str | None:
    """Why cameras do not look at one point before them; None where they do, or where one camera alone can tell
    nothing."""
    if len(cameras) < 2 or not (missing := _looking_elsewhere(cameras)):
        return None
    for cause, mended in OTHERWISE.items():
        if not _looking_elsewhere([mended(camera) for camera in cameras]):
            return f"its cameras do not look at one point, but would if {cause}; world to camera, OpenCV's, is expected"
    names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    return f"{len(missing)} of its {len(cameras)} cameras ({names}) do not look where the others do: R, t or K is wrong"


def _looking_elsewhere(cameras: list[CalibratedCamera]) -> list[str]:
    """Names of the cameras that have the point where most axes meet behind them or far outside their photograph."""
    middle = meeting_point(cameras)
    elsewhere = []
    for camera in cameras:
        (pixel,), (depth,) = camera.project(middle[None])
        assert camera.width is not None and camera.height is not None
        off = np.abs(pixel / [camera.width, camera.height] - 0.5)
        if depth <= 0 or off.max() > 0.5 + _MISSED:
            elsewhere.append(camera.name)
    return elsewhere


# ------------------------------------------------------------------------------------------------------------ manifest
def _row(kind: Layout, image: _Image, camera: CalibratedCamera, side: Side) -> dict[str, Any]:
    match = _match(kind, image.path)
    known = camera if camera.unit is None else camera.in_metres()
    return {
        "path": image.path,
        "subject": match["subject"],
        "sequence": (match.groupdict().get("day") or "", match["scene"] or UNNAMED),
        "recording": int(match["frame"] or 0),
        "camera": match["camera"],
        "illumination": 0,
        "checksum": image.checksum,
        "expression": match["scene"] or UNNAMED,
        "yaw": round(side.yaw, 2) + 0.0,
        "width": image.width,
        "height": image.height,
        "elevation": round(side.elevation, 2) + 0.0,
        **camera_columns(known),
    }


def _manifest(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(sorted(rows, key=lambda row: row["path"]))
    ranks = {sequence: rank for rank, sequence in enumerate(sorted(set(table["sequence"]), key=_natural), 1)}
    session = pd.Series([ranks[sequence] for sequence in table["sequence"]], dtype="int64")
    table.insert(2, "session", session)
    return table.drop(columns="sequence")


def _natural(sequence: tuple[str, str]) -> list[tuple[int, int | str]]:
    """A key that sorts 2_smile before 10_dimpler."""
    parts = re.split("([0-9]+)", "/".join(sequence))
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]
