"""The FaceScape benchmark's directory layout: reading it, and writing other sets in exactly its formats.

    data/wild_gt_mesh/003.obj      data/wild_img/003.png      (400 items, 100 in each yaw bin, index order)
    data/lab_gt_mesh/00.obj        data/lab_img/00_0_00.png   data/lab_cam/00_0_00.json
    predef/wild_{rotations,pupil_scales,head_centers}.npy     predef/lab_{rotations,head_centers}.npy

Canonical head space: millimetres with 62.85 mm between the pupils, x to the image's right, y up, z out of the face,
origin at the head's centre. ``rotation`` takes it to the camera: v_camera = R v.

- wild: orthographic camera at the origin looking along -z, x right, y up, so R of a frontal face is the identity; the
  256 px image is the cube [-1, 1]^2. Meshes are in cube units, z about -10; ``pupil_scale`` is mm per cube unit.
- lab: OpenCV camera (x right, y down, z forward), so R of a frontal face is diag(1, -1, -1); K for 256 px; meshes and
  translations are in pupil distances. index = subject * 33 + focal * 11 + view; the name is ``subject_focal_view``.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mfnet.errors import InputError
from mfnet.geometry.conventions import VIEW_TO_OPENCV, about_x, about_y
from mfnet.io.files import MissingFile, atomic_path, read_bytes, read_json
from mfnet.io.images import read_photo, write_png
from mfnet.io.obj import ObjMesh, write_obj
from mfnet.io.pickles import parse_npy

PUPIL_DISTANCE = (64.0 + 61.7) / 2
"""Millimetres between the pupils of every ground truth: the benchmark's mean of men and women."""
IMAGE_SIZE = 256
WILD_ITEMS = 400
WILD_BINS = ("0-5", "5-30", "30-60", "60-90")
"""Ranges of |yaw| in degrees; 100 items each, in index order."""
LAB_FOCALS = (1200.0, 600.0, 300.0)
"""Focal lengths in pixels, in index order."""
LAB_BINS = ("0", "30", "60")
"""Degrees between the optical axis and the face's normal."""
LAB_SCALE = 0.81
"""Pixels per millimetre at the head's centre of every lab image: its distance is focal / 0.81."""
_DIAGONAL = float(np.degrees(np.arccos(np.sqrt(np.cos(np.radians(30.0))))))
LAB_VIEWS = (
    (0.0, 0.0),
    (30.0, 0.0),
    (_DIAGONAL, -_DIAGONAL),
    (_DIAGONAL, _DIAGONAL),
    (0.0, -30.0),
    (0.0, 30.0),
    (-_DIAGONAL, -_DIAGONAL),
    (-_DIAGONAL, _DIAGONAL),
    (-30.0, 0.0),
    (60.0, 0.0),
    (-60.0, 0.0),
)
"""(yaw, pitch) in degrees of the lab views. Yaw > 0: nose to the image's right; pitch > 0: nose down."""
LAB_VIEWS_PER_SUBJECT = len(LAB_FOCALS) * len(LAB_VIEWS)
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
CAMERA_TOLERANCE = 0.01
"""Share by which a camera file's distance and focal length, and size by which an element of its R, may differ from the
predefined ones."""
_MAX_CAMERA = 64 << 10
_MAX_PREDEFINED = 1 << 20
DECIMALS = 6
"""Of the vertices of a written ground truth."""
SCAN_AZIMUTH, SCAN_BOTTOM = 100.0, -95.0
"""How far a written ground truth reaches: degrees from the front around the vertical axis, and canonical y in mm."""


@dataclass(frozen=True)
class WildItem:
    """One in-the-wild photograph with its predefined values."""

    index: int
    rotation: np.ndarray
    """[3, 3] canonical to camera."""
    pupil_scale: float
    """Millimetres per cube unit."""
    head_centre_cube: np.ndarray
    """[3] head centre in the camera, cube units."""

    dataset = "fswild"

    @property
    def name(self) -> str:
        return f"{self.index:03d}"

    @property
    def mesh_name(self) -> str:
        return self.name

    @property
    def bin(self) -> str:
        return WILD_BINS[self.index // (WILD_ITEMS // len(WILD_BINS))]

    @property
    def head_centre(self) -> np.ndarray:
        """[3] head centre in the camera, mm."""
        return self.head_centre_cube * self.pupil_scale

    def to_camera(self, vertices: np.ndarray) -> np.ndarray:
        """Ground-truth file vertices [V, 3] (cube units) to camera millimetres."""
        return vertices * self.pupil_scale


@dataclass(frozen=True)
class LabItem:
    """One laboratory render with its camera and predefined values."""

    index: int
    rotation: np.ndarray
    """[3, 3] canonical to camera."""
    head_centre: np.ndarray
    """[3] head centre in the camera, mm."""
    intrinsics: np.ndarray
    """[3, 3] K in pixels of the 256 px image."""
    extrinsics: np.ndarray
    """[3, 4] Rt, translation in pupil distances."""
    unreadable: str = ""
    """What is wrong with the camera's file. The values are NaN then, and where there is no file."""

    dataset = "fslab"

    @property
    def subject(self) -> int:
        return self.index // LAB_VIEWS_PER_SUBJECT

    @property
    def focal(self) -> int:
        """Number of the focal length: position in LAB_FOCALS."""
        return self.index % LAB_VIEWS_PER_SUBJECT // len(LAB_VIEWS)

    @property
    def view(self) -> int:
        return self.index % len(LAB_VIEWS)

    @property
    def name(self) -> str:
        return lab_name(self.index)

    @property
    def mesh_name(self) -> str:
        return f"{self.subject:02d}"

    @property
    def bin(self) -> str:
        return lab_bin(self.view)

    def to_camera(self, vertices: np.ndarray) -> np.ndarray:
        """Ground-truth file vertices [V, 3] (pupil distances, world) to camera millimetres."""
        return (vertices @ self.extrinsics[:, :3].T + self.extrinsics[:, 3]) * PUPIL_DISTANCE


Item = WildItem | LabItem


def lab_name(index: int) -> str:
    """``subject_focal_view`` of a lab index."""
    subject, rest = divmod(index, LAB_VIEWS_PER_SUBJECT)
    focal, view = divmod(rest, len(LAB_VIEWS))
    return f"{subject:02d}_{focal:d}_{view:02d}"


def lab_index(subject: int, focal: int, view: int) -> int:
    """The official running number of a lab image."""
    return subject * LAB_VIEWS_PER_SUBJECT + focal * len(LAB_VIEWS) + view


def lab_bin(view: int) -> str:
    """The angle bin of a lab view: ``0``, ``30`` or ``60``."""
    return "0" if view == 0 else "60" if view >= 9 else "30"


def view_rotation(yaw: float, pitch: float) -> np.ndarray:
    """Canonical-to-camera rotation [3, 3] of a lab view; degrees, signs as LAB_VIEWS; (0, 0) is diag(1, -1, -1)."""
    return VIEW_TO_OPENCV @ about_x(np.radians(pitch)) @ about_y(np.radians(yaw))


def lab_camera(focal: int, view: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K [3, 3] (px), R [3, 3] and t [3] (mm) of the official lab rig: canonical head to OpenCV camera."""
    length = LAB_FOCALS[focal]
    intrinsics = np.array([[length, 0, IMAGE_SIZE / 2], [0, length, IMAGE_SIZE / 2], [0, 0, 1]])
    return intrinsics, view_rotation(*LAB_VIEWS[view]), np.array([0.0, 0.0, length / LAB_SCALE])


# ------------------------------------------------------------------------------------------------------- reading
def data_folder(root: str | Path) -> Path:
    """The folder that holds ``wild_gt_mesh`` or ``lab_gt_mesh``: `root` or its ``data``."""
    return _folder(root, "data", ("wild_gt_mesh", "lab_gt_mesh"))


def predef_folder(root: str | Path) -> Path:
    """The folder of the predefined arrays: `root` or its ``predef``."""
    return _folder(root, "predef", ("wild_rotations.npy", "lab_rotations.npy"))


def _folder(root: str | Path, inner: str, marks: tuple[str, ...]) -> Path:
    root = Path(root)
    for folder in (root, root / inner):
        if any((folder / mark).exists() for mark in marks):
            return folder
    raise InputError(f"{root}: not a FaceScape benchmark: neither it nor its {inner}/ holds {' or '.join(marks)}")


def wild_items(data: str | Path, predef: str | Path, also: tuple[str, ...] = ()) -> list[WildItem]:
    """Items of the wild protocol in index order: every ground-truth mesh present, and the names `also`.

    Raises InputError for a folder or array that is missing or of a wrong shape.
    """
    predef = predef_folder(predef)
    rotations = _array(predef / "wild_rotations.npy", (WILD_ITEMS, 3, 3))
    scales = _array(predef / "wild_pupil_scales.npy", (WILD_ITEMS,))
    centres = _array(predef / "wild_head_centers.npy", (WILD_ITEMS, 3))
    names = {path.stem for path in (data_folder(data) / "wild_gt_mesh").glob("*.obj")} | set(also)
    indices = sorted(int(name) for name in names if len(name) == 3 and name.isdecimal() and int(name) < WILD_ITEMS)
    return [WildItem(index, rotations[index], float(scales[index]), centres[index]) for index in indices]


def lab_items(data: str | Path, predef: str | Path, also: tuple[str, ...] = ()) -> list[LabItem]:
    """Items of the lab protocol in index order: every camera file present, and the names `also`.

    An item whose camera file is missing or unreadable gets a NaN camera: its row says so instead of vanishing.
    """
    folder, predef = data_folder(data), predef_folder(predef)
    rotations = _array(predef / "lab_rotations.npy", (len(LAB_VIEWS), 3, 3))
    centres = _array(predef / "lab_head_centers.npy", (len(LAB_FOCALS), 3))
    names = {path.stem for path in (folder / "lab_cam").glob("*.json")} | set(also)
    items = []
    for index in sorted(index for index in map(_parse_lab_name, names) if index is not None):
        view, focal = index % len(LAB_VIEWS), index % LAB_VIEWS_PER_SUBJECT // len(LAB_VIEWS)
        camera, problem = (np.full((3, 3), np.nan), np.full((3, 4), np.nan)), ""
        try:
            camera = read_camera(folder / "lab_cam" / f"{lab_name(index)}.json")
        except MissingFile:
            pass
        except InputError as error:
            problem = str(error)
        items.append(LabItem(index, rotations[view], centres[focal], *camera, problem))
    return items


def _parse_lab_name(name: str) -> int | None:
    parts = name.split("_")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        return None
    subject, focal, view = map(int, parts)
    index = lab_index(subject, focal, view)
    return index if focal < len(LAB_FOCALS) and view < len(LAB_VIEWS) and lab_name(index) == name else None


def read_camera(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """K [3, 3] and Rt [3, 4] of a lab camera file. Raises InputError where it is missing or holds anything else."""
    content = read_json(path, _MAX_CAMERA)
    try:
        intrinsics, extrinsics = (np.array(part, np.float64) for part in content)
        if not (intrinsics.shape == (3, 3) and extrinsics.shape == (3, 4)):
            raise ValueError
        if not (np.isfinite(intrinsics).all() and np.isfinite(extrinsics).all()):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"{path}: not [K, Rt] of 3 x 3 and 3 x 4 finite numbers") from None
    return intrinsics, extrinsics


def camera_fault(item: LabItem) -> str | None:
    """What of a lab camera contradicts the benchmark's predefined poses and rig; None for a right one.

    A wrong camera gives a number all the same, and a wrong one: 5 % more distance costs 1.4 mm of CD, a mirrored
    rotation 15.
    """
    intrinsics, rotation, translation = item.intrinsics, item.extrinsics[:, :3], item.extrinsics[:, 3] * PUPIL_DISTANCE
    expected, middle = LAB_FOCALS[item.focal], IMAGE_SIZE / 2
    if np.abs(np.diag(intrinsics)[:2] - expected).max() > CAMERA_TOLERANCE * expected:
        return f"focal length {intrinsics[0, 0]:g}, {intrinsics[1, 1]:g}; {expected:g} px expected"
    if np.abs(intrinsics[:2, 2] - middle).max() > 1:
        return f"principal point {intrinsics[0, 2]:g}, {intrinsics[1, 2]:g}; {middle:g}, {middle:g} px expected"
    if np.abs(intrinsics[[0, 1, 2, 2, 2], [1, 0, 0, 1, 2]] - [0, 0, 0, 0, 1]).max() > 1e-6:
        return "K has skew, or its last row is not 0, 0, 1"
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
        return f"R is not a rotation (determinant {np.linalg.det(rotation):.3g})"
    if np.abs(rotation - item.rotation).max() > CAMERA_TOLERANCE:
        return f"R is not that of predef/lab_rotations.npy for view {item.view}"
    distance = float(np.linalg.norm(item.head_centre))
    if np.linalg.norm(translation - item.head_centre) > CAMERA_TOLERANCE * distance:
        return f"t is ({', '.join(f'{value:.1f}' for value in translation)}) mm; the head is {distance:.1f} mm ahead"
    return None


def _array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    array = parse_npy(read_bytes(path, _MAX_PREDEFINED), path)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise InputError(f"{path}: not numbers; the benchmark's predef/ holds it")
    if array.shape != shape:
        raise InputError(f"{path}: shape {array.shape}, expected {shape}")
    return array.astype(np.float64)


def mesh_path(data: str | Path, item: Item) -> Path:
    """The ground-truth mesh of an item."""
    return data_folder(data) / f"{item.dataset[2:]}_gt_mesh" / f"{item.mesh_name}.obj"


def image_path(data: str | Path, item: Item) -> Path:
    """The image of an item. Raises InputError where there is none."""
    folder = data_folder(data) / f"{item.dataset[2:]}_img"
    for suffix in IMAGE_SUFFIXES:
        if (path := folder / f"{item.name}{suffix}").exists():
            return path
    raise InputError(f"{folder}/{item.name}: no image ({', '.join(IMAGE_SUFFIXES)})")


def read_image(data: str | Path, item: Item) -> np.ndarray:
    """The RGB uint8 image [256, 256, 3] of an item. Raises InputError for a missing, broken or wrongly sized one."""
    path = image_path(data, item)
    pixels = read_photo(path)
    if pixels.shape != (IMAGE_SIZE, IMAGE_SIZE, 3):
        raise InputError(f"{path}: {pixels.shape[1]} x {pixels.shape[0]} px, the benchmark's images are 256 x 256")
    return pixels


# ------------------------------------------------------------------------------------------------------- writing
def canonical_head(
    vertices: np.ndarray, left_pupil: ArrayLike, right_pupil: ArrayLike, centre: np.ndarray | None = None
) -> np.ndarray:
    """Head vertices [V, 3] (any unit; x image right, y up, z out of the face) to canonical millimetres.

    The pupils ([3] each) come to lie 62.85 mm apart; `centre` [3] (default: the mean vertex, the official choice)
    becomes the origin.
    """
    vertices = np.asarray(vertices, np.float64)
    centre = vertices.mean(axis=0) if centre is None else np.asarray(centre, np.float64)
    scale = PUPIL_DISTANCE / np.linalg.norm(np.asarray(left_pupil, np.float64) - np.asarray(right_pupil, np.float64))
    return (vertices - centre) * scale


def front_of_head(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of a head (canonical mm) that a scan of the benchmark covers: its front, from ear to ear, without neck.

    A neck that goes down to y = -150 would have no official score at all: the evaluator's cylinder map ends there. The
    cut follows the map's columns, so that an exact prediction of the whole head loses nothing at the border.
    """
    azimuth = np.degrees(np.arctan2(vertices[:, 0], vertices[:, 2]))
    inside = (np.abs(azimuth) <= SCAN_AZIMUTH) & (vertices[:, 1] >= SCAN_BOTTOM)
    kept = faces[inside[faces].all(axis=1)]
    used, renumbered = np.unique(kept, return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3)


def write_wild_item(
    root: str | Path, item: WildItem, vertices: np.ndarray, faces: np.ndarray, image: np.ndarray
) -> None:
    """Write one wild item: a whole head, canonical `vertices` [V, 3] mm, and its RGB uint8 image.

    The ground truth is `front_of_head`, in cube units.
    """
    vertices, faces = front_of_head(vertices, faces)
    cube = vertices @ item.rotation.T / item.pupil_scale + item.head_centre_cube
    write_obj(Path(root) / "data/wild_gt_mesh" / f"{item.name}.obj", ObjMesh(cube, faces), DECIMALS)
    _write_image(Path(root) / "data/wild_img" / f"{item.name}.png", image)


def write_wild_predef(root: str | Path, items: list[WildItem]) -> None:
    """Write the three wild arrays, 400 rows each; the rows of indices that are not in `items` are NaN."""
    rotations = np.full((WILD_ITEMS, 3, 3), np.nan)
    scales = np.full(WILD_ITEMS, np.nan)
    centres = np.full((WILD_ITEMS, 3), np.nan)
    for item in items:
        rotations[item.index], scales[item.index] = item.rotation, item.pupil_scale
        centres[item.index] = item.head_centre_cube
    for name, array in (("rotations", rotations), ("pupil_scales", scales), ("head_centers", centres)):
        _write_array(Path(root) / "predef" / f"wild_{name}.npy", array)


def write_lab_subject(root: str | Path, subject: int, vertices: np.ndarray, faces: np.ndarray) -> None:
    """Write one lab subject: a whole head, canonical `vertices` [V, 3] mm.

    The ground truth is `front_of_head`, in pupil distances.
    """
    vertices, faces = front_of_head(vertices, faces)
    path = Path(root) / "data/lab_gt_mesh" / f"{subject:02d}.obj"
    write_obj(path, ObjMesh(vertices / PUPIL_DISTANCE, faces), DECIMALS)


def write_lab_view(root: str | Path, subject: int, focal: int, view: int, image: np.ndarray) -> None:
    """Write one lab image (RGB uint8 [256, 256, 3]) and its camera file, of the official rig (`lab_camera`)."""
    name = lab_name(lab_index(subject, focal, view))
    intrinsics, rotation, translation = lab_camera(focal, view)
    extrinsics = np.column_stack([rotation, translation / PUPIL_DISTANCE])
    with atomic_path(Path(root) / "data/lab_cam" / f"{name}.json") as beside:
        beside.write_text(json.dumps([intrinsics.tolist(), extrinsics.tolist()]) + "\n", encoding="utf-8")
    _write_image(Path(root) / "data/lab_img" / f"{name}.png", image)


def write_lab_predef(root: str | Path) -> None:
    """Write the two lab arrays of the official rig."""
    rotations = np.stack([view_rotation(*angles) for angles in LAB_VIEWS])
    centres = np.stack([lab_camera(focal, 0)[2] for focal in range(len(LAB_FOCALS))])
    _write_array(Path(root) / "predef/lab_rotations.npy", rotations)
    _write_array(Path(root) / "predef/lab_head_centers.npy", centres)


def _write_array(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as beside:
        np.save(beside, array)


def _write_image(path: Path, image: np.ndarray) -> None:
    if image.shape != (IMAGE_SIZE, IMAGE_SIZE, 3) or image.dtype != np.uint8:
        raise ValueError(f"{path.name}: image is {image.dtype} {image.shape}, expected uint8 (256, 256, 3)")
    write_png(image, path)
