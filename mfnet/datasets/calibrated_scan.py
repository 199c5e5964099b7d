"""The scan that turns a calibrated multi-view set into a manifest (`mfnet.datasets.calibrated` has the layouts).

In the manifest a session is a sequence (its rank among the names in the archive), a recording a frame of it, and the
camera's yaw follows from the rig: seen from the point that the optical axes have in common, relative to the camera
before the face. Every row carries its camera. Images are hashed whole: a JPEG has no checksum at its end.

A calibration that is none, or whose cameras look at no common point, is the reason why all its images are rejected.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from mfnet.compute.executor import SERIAL, Compute
from mfnet.datasets.calibrated import LAYOUTS, MAX_BYTES, Layout, decode_image, rig_fault
from mfnet.datasets.cameras import camera_columns
from mfnet.datasets.multipie import ANNOTATIONS, IMAGES, RejectedImage, image_bytes
from mfnet.datasets.rigs import Side, middle_camera, sides
from mfnet.datasets.seen import SCHEMA, SIGNATURE, Names, Search, findings, findings_key, paths_of, signature
from mfnet.errors import InputError
from mfnet.io.cameras import CalibratedCamera, FaceScapeScales
from mfnet.io.images import NoPhoto, check_photo
from mfnet.io.walk import walk

UNNAMED = "unnamed"
"""Expression of a capture without folders of segments."""
_CHUNK = 500  # files per unit of work
_SCALES = "Rt_scale_dict.json"


def scan_calibrated(
    root: str | Path,
    layout: str,
    anchor: str | None = None,
    compute: Compute = SERIAL,
    decode: bool = False,
    kept: str | Path | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the images of an archive in a `layout` of LAYOUTS: (manifest, rejected), both ordered by path.

    manifest: the columns of `multipie.scan`, elevation (of the camera, degrees) and those of CALIBRATION. rejected:
    path, reason. anchor: name of the camera before the face; None: the middle one of each rig. decode: whether every
    image is decoded, which finds damage inside its pixel data. kept: as `mfnet.datasets.scan.scan`'s.

    Raises InputError where `root` is missing or holds no image that passes.
    """
    root, kind = Path(root), LAYOUTS[layout]
    if not root.is_dir():
        raise InputError(f"source.multipie: {root}: no such folder; name the one that holds {kind.example}")
    files, rejected = _files(root, kind)
    search = Search(str(root), partial(_check_files, str(root), decode), _CHUNK, compute)
    by_capture: dict[str, list[_Image]] = {}
    key = findings_key(root, decode, "calibrated_scan", "calibrated", "multipie")
    for looked in findings(files, search, None if kept is None else Path(kept, key)).to_pylist():
        if looked["reason"] is None:
            image = _Image.of(looked)
            by_capture.setdefault(_match(kind, image.path)["capture"], []).append(image)
        else:
            rejected.append((looked["path"], looked["reason"]))
    rows: list[dict[str, Any]] = []
    scales = FaceScapeScales(root / _SCALES) if (root / _SCALES).is_file() else None
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

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "_Image":
        """From a good file's row of `_check_files`."""
        checksum, width, height = row["checksum"].split()
        return cls(row["path"], checksum, int(width), int(height))


def _match(kind: Layout, path: str) -> re.Match[str]:
    match = kind.image.fullmatch(path)
    assert match is not None, path
    return match


def _files(root: Path, kind: Layout) -> tuple[Names, list[tuple[str, str]]]:
    """(images of the layout, in the order of their folders; (path, reason) of what else is there)."""
    folders: dict[str, list[str]] = {}
    faults = []
    beside = {kind.calibration.rpartition("/")[2], _SCALES, "color_calibration.json"}
    for found in walk(root, lambda folder: folder.rpartition("/")[2] not in kind.aside):
        folder, _, name = found.path.rpartition("/")
        ending = os.path.splitext(name)[1].lower()
        if found.fault is not None:
            faults.append((found.path, found.fault))
        elif found.is_folder or name in beside or name.startswith("._") or ending in ANNOTATIONS:
            continue
        elif kind.image.fullmatch(found.path):
            folders.setdefault(folder, []).append(name)
        elif ending in IMAGES:
            faults.append((found.path, f"image, but not named like {kind.example}"))
        else:
            faults.append((found.path, "stray file"))
    return [(folder, sorted(folders[folder])) for folder in sorted(folders)], faults


def _check_files(root: str, decode: bool, files: Names) -> pa.Table:
    """Rows of `mfnet.datasets.seen.SCHEMA`; width and height of a good file follow its checksum."""
    rows = []
    for path in paths_of(files):
        place = os.path.join(root, path)
        state = dict(zip(SIGNATURE, signature(place), strict=True))
        try:
            rows.append({"path": path, **state, "checksum": _checked(place, decode), "reason": None})
        except RejectedImage as error:
            rows.append({"path": path, **state, "checksum": None, "reason": str(error)})
    return pa.Table.from_pylist(rows, SCHEMA)


def _checked(path: str, decode: bool) -> str:
    """``hash width height`` of an image that is whole, the hash 16 hex digits of its content's. RejectedImage for any
    other."""
    data = image_bytes(path, MAX_BYTES)
    try:
        height, width = check_photo(data, ("JPEG", "PNG"))
    except NoPhoto as error:
        raise RejectedImage(str(error)) from None
    ends = b"\xff\xd9" if data.startswith(b"\xff\xd8") else b"IEND\xaeB`\x82"
    if ends not in data[-64:]:
        raise RejectedImage("broken image: truncated")
    if decode:
        decode_image(data)
    return f"{hashlib.sha256(data).hexdigest()[:16]} {width} {height}"


# ------------------------------------------------------------------------------------------------------------ captures
def _in_millimetres(
    cameras: list[CalibratedCamera], scales: FaceScapeScales | None, subject: str, scene: str
) -> list[CalibratedCamera]:
    """Cameras of an arbitrary world before one in millimetres, if FaceScape's file knows the way."""
    number = re.match("[0-9]+", scene)
    found = None if number is None or scales is None else scales.find(subject, number[0])
    return cameras if found is None else [camera.moved(*found, "mm") for camera in cameras]


def _rows_of(
    root: Path, kind: Layout, capture: str, images: list[_Image], anchor: str | None, scales: FaceScapeScales | None
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Manifest rows of one capture's images, and (path, reason) of those that have no camera that can be used."""
    calibration = f"{capture}/{kind.calibration}"
    try:
        cameras = {camera.name: camera for camera in kind.read(root / calibration)}
        match = _match(kind, images[0].path)
        if next(iter(cameras.values())).unit is None:
            moved = _in_millimetres(list(cameras.values()), scales, match["subject"], match["scene"])
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
