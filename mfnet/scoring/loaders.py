"""One loader per method: from its files to the camera space that the protocol scores, by the official conventions.

A loader gives either an orthographic face in the image cube ([-1, 1]^2 over the 256 px image, x right, y up, z towards
the camera) or a face in front of an OpenCV camera with its own focal length. `to_camera` then makes of it

- wild: the cube, z shifted so that the mean of its vertices is -2;
- lab: OpenCV axes, y extent 3 (pupil distances). An orthographic face is put f / 128 in front of the camera of the
  item's focal length f; a perspective one is scaled around its own mean depth by the ratio of the focal lengths.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from mfnet.datasets.facescape import IMAGE_SIZE
from mfnet.errors import InputError
from mfnet.geometry.conventions import FLIP_YZ, about_x, about_y, about_z
from mfnet.io.pickle_names import ALLOWED, PickledArray, resolve
from mfnet.io.pickles import Budget, parse_npy
from mfnet.scoring.meshes import ItemError, Mesh, read_content, read_mesh

HALF = IMAGE_SIZE / 2
WILD_DEPTH = 2.0
LAB_HEIGHT = 3.0
FARTHEST = 100.0
"""Metres: a camera beyond is as good as orthographic."""
FAR_AWAY = 1e9
"""Cube units or pupil distances from the camera at which a vertex is as good as infinite: products of coordinates
would overflow in what follows."""


@dataclass(frozen=True)
class PlacedMesh:
    """A predicted face where its method places it: in the image cube or before a camera of its own."""

    mesh: Mesh
    focal: float | None
    """Focal length in pixels of the 256 px image; None: orthographic, in the image cube."""


def to_camera(prediction: PlacedMesh, focal: float | None) -> Mesh:
    """The mesh in the protocol's camera space: wild (`focal` None) or lab (`focal` in pixels); see the module."""
    vertices = prediction.mesh.vertices
    if prediction.focal is not None:
        return prediction.mesh.moved(_perspective_to_camera(vertices, prediction.focal, focal))
    if focal is None:
        vertices = vertices - [0.0, 0.0, vertices[:, 2].mean() + WILD_DEPTH]
    else:
        vertices = vertices * FLIP_YZ
        vertices = _of_lab_height(vertices + np.array([0.0, 0.0, focal / HALF - vertices[:, 2].mean()]))
    return prediction.mesh.moved(vertices)


def _perspective_to_camera(vertices: np.ndarray, own: float, focal: float | None) -> np.ndarray:
    depth = vertices[:, 2].mean()
    if focal is None:
        vertices = vertices * (own / HALF / depth) * FLIP_YZ
        return vertices - [0.0, 0.0, vertices[:, 2].mean() + WILD_DEPTH]
    middle = np.array([0.0, 0.0, depth])
    return _of_lab_height((vertices - middle) * (own / focal) + middle)


def _of_lab_height(vertices: np.ndarray) -> np.ndarray:
    height = np.ptp(vertices[:, 1])
    if height == 0:
        raise ItemError("empty_mesh", "the predicted mesh has no height")
    return vertices * (LAB_HEIGHT / height)


def from_crop(mesh: Mesh, crop_to_image: np.ndarray, crop_size: int) -> PlacedMesh:
    """A face in a crop's ndc ([-1, 1], x right, y up) to the image cube.

    crop_to_image: [3, 3] pixels of the `crop_size` px crop to pixels of the 256 px image (y down in both). Depth is
    scaled by the length of its first row, as officially.
    """
    scale = crop_size / IMAGE_SIZE
    pixels = (mesh.vertices[:, :2] * FLIP_YZ[:2] + 1) * (crop_size / 2)
    pixels = pixels @ crop_to_image[:2, :2].T + crop_to_image[:2, 2]
    depth = mesh.vertices[:, 2:] * np.linalg.norm(crop_to_image[0, :2]) * scale
    return PlacedMesh(mesh.moved(np.hstack([(pixels / HALF - 1) * FLIP_YZ[:2], depth])), None)


def pixels_per_ndc(crop_to_image: np.ndarray, crop_size: int) -> float:
    """Pixels of the image per unit of a crop's ndc; arguments as in `from_crop`."""
    return crop_size / 2 * float(np.linalg.norm(crop_to_image[0, :2]))


def from_lens(
    mesh: Mesh, camera: np.ndarray, inverse_distance: float, centre: float, crop_to_image: np.ndarray, crop_size: int
) -> PlacedMesh:
    """A posed head (metres, camera along -z) that perspective shrinks, to OpenCV's axes before the camera it implies.

    camera [3] = (s, tx, ty), ndc of the crop: ndc = s (xy + t) / divisor, divisor = 1 - inverse_distance (z - centre);
    inverse_distance 1/m, clipped at FARTHEST; crop_to_image as in `from_crop`. At the depth `centre` a metre is a s
    pixels long (a: px of the image per ndc), which with the distance gives the focal length. The crop's axis is turned
    to where its centre lies in the image: what a crop beside the centre shows is seen from aside.
    """
    distance = 1 / max(inverse_distance, 1 / FARTHEST)
    focal = pixels_per_ndc(crop_to_image, crop_size) * camera[0] * distance
    depth = distance - (mesh.vertices[:, 2:] - centre)
    seen = np.hstack([(mesh.vertices[:, :2] + camera[1:]) * FLIP_YZ[:2], depth])
    middle = crop_to_image[:2, :2] @ np.full(2, crop_size / 2) + crop_to_image[:2, 2]  # of the crop, px of the image
    axis = np.append((middle - HALF) / focal, 1.0)
    turn = Rotation.align_vectors(axis[None], [[0.0, 0.0, 1.0]])[0]
    return PlacedMesh(mesh.moved(turn.apply(seen)), focal)


# ------------------------------------------------------------------------------------------------------- methods
def _pixels_up(folder: Path, name: str) -> PlacedMesh:
    """Pixels, x right, y up from the lower-left corner, z in pixels towards the camera."""
    mesh = read_mesh(folder / f"{name}.obj")
    return PlacedMesh(mesh.moved(mesh.vertices / HALF - [1.0, 1.0, 0.0]), None)


def _sadrnet(folder: Path, name: str) -> PlacedMesh:
    """x, y in 0 .. 2, y down, winding reversed."""
    mesh = read_mesh(folder / f"{name}.obj").flipped()
    return PlacedMesh(mesh.moved((mesh.vertices - [1.0, 1.0, 0.0]) * [1.0, -1.0, 1.0]), None)


def _cube(folder: Path, name: str) -> PlacedMesh:
    """The image cube itself."""
    return PlacedMesh(read_mesh(folder / f"{name}.obj"), None)


def _facescape_deep(folder: Path, name: str) -> PlacedMesh:
    """Pixels of a 256 px crop, y up, with the crop's skimage transform beside it."""
    mesh = read_mesh(folder / f"{name}.obj")
    transform = _matrix(folder / f"{name}_tform.npy")
    return from_crop(mesh.moved(mesh.vertices / HALF - 1), np.linalg.inv(transform), IMAGE_SIZE)


def _deca(folder: Path, name: str) -> PlacedMesh:
    """Head space with a scaled-orthographic camera (s, tx, ty) in a 224 px crop, and the crop's transform."""
    mesh = read_mesh(folder / f"{name}_detail.obj")
    transform = _matrix(folder / f"{name}_tform.npy")
    camera = np.ravel(_numbers(read_npy(folder / f"{name}_cam.npy"), folder / f"{name}_cam.npy"))
    if camera.size != 3:
        raise ItemError("unreadable", f"{folder / name}_cam.npy: {camera.size} numbers, expected s, tx, ty")
    moved = (mesh.vertices + np.array([camera[1], camera[2], 0.0])) * camera[0]
    return from_crop(mesh.moved(moved), np.linalg.inv(transform), 224)


def _mgcnet(folder: Path, name: str) -> PlacedMesh:
    """A perspective face in a 224 px crop: mesh, inverse affine matrix of the crop, camera text file.

    The official 114 beside 112 (half the crop) is kept.
    """
    mesh = read_mesh(folder / f"{name}.ply")
    matrix = _affine(folder / f"{name}_Minv.npy")
    focal, rotation, translation = _mgcnet_camera(folder / f"{name}_cam.txt")
    scale = np.hypot(matrix[0, 0], matrix[1, 0])
    vertices = mesh.vertices @ rotation.T + translation
    depth = vertices[:, 2].mean()
    plane = (vertices[:, :2] + 114 / focal * depth) @ matrix[:2, :2].T
    plane = (plane + matrix[:2, 2] / focal * depth - 114 / focal * depth) / scale
    depths = vertices[:, 2] - depth * (1 - 1 / scale)
    plane -= (HALF - 112) / focal * depths.mean()
    return PlacedMesh(mesh.moved(np.column_stack([plane, depths])), focal)


def _mgcnet_camera(path: Path) -> tuple[float, np.ndarray, np.ndarray]:
    """Focal length (px), rotation [3, 3], translation [3] of MGCNet's text: K in line 3, angles z, y, x and t in 5."""
    try:
        lines = read_content(path, _MAX_TEXT).decode("utf-8").splitlines()
        focal = float(lines[2].split(",")[0])
        numbers = np.array(lines[4].split(","), np.float64)
    except (IndexError, ValueError):
        raise ItemError("unreadable", f"{path}: not MGCNet's camera file") from None
    if len(numbers) < 6 or not np.isfinite(numbers).all():
        raise ItemError("unreadable", f"{path}: line 5: three angles and a translation of three numbers expected")
    (psi, theta, phi), translation = numbers[:3], numbers[3:6]
    return _focal_length(focal, path), about_x(phi) @ about_y(theta) @ about_z(psi), translation


def _focal_length(value: float, path: Path) -> float:
    if not (np.isfinite(value) and value > 0):
        raise ItemError("unreadable", f"{path}: focal length {value:g}; it must be positive")
    return value


def _ringnet(folder: Path, name: str) -> PlacedMesh:
    """A perspective face: ``cam`` = (f / 128, cx, cy) in a pickled dictionary beside the mesh."""
    mesh = read_mesh(folder / f"{name}.obj")
    path = folder / f"{name}.npy"
    content = read_npy(path)
    camera = np.ravel(_numbers(content.get("cam") if isinstance(content, dict) else None, path))
    if camera.size != 3:
        raise ItemError("unreadable", f"{path}: no 'cam' of three numbers")
    centre = np.array([camera[1], camera[2], IMAGE_SIZE / 224])
    return PlacedMesh(mesh.moved(mesh.vertices + centre), _focal_length(float(camera[0]), path) * HALF)


LOADERS: dict[str, Callable[[Path, str], PlacedMesh]] = {
    "facescape_opti": _pixels_up,
    "facescape_deep": _facescape_deep,
    "3DDFA_V2": _pixels_up,
    "PRNet": _pixels_up,
    "SADRNet": _sadrnet,
    "RAFaRe": _cube,
    "DECA": _deca,
    "MGCNet": _mgcnet,
    "RingNet": _ringnet,
    "camera": _cube,
}
"""Method -> what reads its folder. ``camera`` is the plain one for a new method: ``NAME.obj`` in the image cube (wild)
or in OpenCV camera space of the item's camera, in pupil distances (lab)."""


def load_prediction(loader: str, folder: Path, name: str, focal: float | None) -> Mesh:
    """The prediction `name` of a method in the protocol's camera space (cube units; lab: pupil distances).

    Raises ItemError for anything wrong with its files.
    """
    prediction = LOADERS[loader](folder, name)
    mesh = prediction.mesh if loader == "camera" and focal is not None else to_camera(prediction, focal)
    if not (np.abs(mesh.vertices) < FAR_AWAY).all():
        raise ItemError("nan_vertices", f"{folder / name}: vertices at infinity or {FAR_AWAY:g} units away")
    return mesh


# ----------------------------------------------------------------------------------------------------- side files
_MAX_BYTES = 16 << 20
"""Largest side file that is read: a camera, a transform, a dictionary around one head's parameters."""
_MAX_TEXT = 64 << 10
_MAX_NUMBERS = 64
_MAX_DEPTH = 3


class Transform:
    """Stands in for an skimage transform: only its state is kept."""

    def __init__(self) -> None:
        self.state: dict = {}

    def build(self, state: Any, budget: Budget) -> None:
        """Take the pickled attributes (called by `mfnet.io.pickles`)."""
        if isinstance(state, dict):
            self.state = state


def _transform(budget: Budget, *_: Any) -> Transform:
    return Transform()


SIDE_FILE_NAMES = ALLOWED | {
    (module, name): _transform
    for module in ("skimage.transform._geometric", "skimage.transform")
    for name in ("AffineTransform", "EuclideanTransform", "ProjectiveTransform", "SimilarityTransform")
}
"""What the pickle in a side file may name, for `mfnet.io.pickles.read_pickle`: NumPy's arrays and skimage's crops."""


def read_npy(path: Path) -> object:
    """The content of an .npy file: an array, or for an object array of one item the object in it.

    Nothing in the file is run: pickled content is read by `mfnet.io.pickles`. Raises ItemError.
    """
    data = read_content(path, _MAX_BYTES)
    try:
        return parse_npy(data, path, SIDE_FILE_NAMES)
    except InputError as error:
        raise ItemError("unreadable", str(error)) from None


def _matrix(path: Path) -> np.ndarray:
    """The invertible 3 x 3 matrix of an skimage transform, or of a plain array."""
    content = read_npy(path)
    if isinstance(content, Transform):
        content = content.state.get("params", content.state.get("_matrix"))
    matrix = _numbers(content, path)
    if matrix.shape != (3, 3) or not 1e-12 < abs(np.linalg.det(matrix)) < np.inf:
        raise ItemError("unreadable", f"{path}: not an invertible 3 x 3 transform")
    return matrix


def _affine(path: Path) -> np.ndarray:
    """The two first rows [2, 3] of an affine matrix, which must not shrink everything to a point."""
    matrix = _numbers(read_npy(path), path)
    if matrix.shape not in ((2, 3), (3, 3)) or not np.hypot(matrix[0, 0], matrix[1, 0]) > 1e-12:
        raise ItemError("unreadable", f"{path}: not an affine matrix of 2 x 3 numbers")
    return matrix[:2]


def _numbers(content: object, path: Path) -> np.ndarray:
    """Few finite numbers, float64, out of an array, a number or nested sequences of them."""
    try:
        numbers = np.array(_plain(content), np.float64)
    except (TypeError, ValueError, OverflowError):  # also of lists of unequal lengths, and integers beyond any float
        numbers = np.array(np.nan)
    if not 0 < numbers.size <= _MAX_NUMBERS or not np.isfinite(numbers).all():
        raise ItemError("unreadable", f"{path}: not finite numbers")
    return numbers


def _plain(content: object, depth: int = 0) -> Any:
    """Numbers and lists of them; TypeError for anything else, and for more of it or deeper than a camera needs.

    A pickle may hold one list many times in another: a few bytes are then 2^n numbers.
    """
    content = resolve(content)
    if isinstance(content, np.ndarray) and content.size <= _MAX_NUMBERS and content.dtype.kind in "fiubO":
        content = content.tolist()
    if isinstance(content, PickledArray):
        content = content.items
    if isinstance(content, int | float):
        return content
    if not isinstance(content, list | tuple) or len(content) > _MAX_NUMBERS or depth == _MAX_DEPTH:
        raise TypeError("not numbers")
    return [_plain(item, depth + 1) for item in content]
