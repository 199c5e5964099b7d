"""Ways to 68 landmarks behind one interface: the embedded network, MediaPipe, FAN by `face_alignment`, annotations.

A backend is a small picklable record; what it needs (a network) is loaded once per process, on first use.
"""

import functools
import pickle
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np

from mfnet import assets
from mfnet.errors import InputError
from mfnet.io.files import file_hash, read_bytes
from mfnet.io.mat import parse_mat
from mfnet.io.npz import read_npz
from mfnet.io.pickles import parse_npy
from mfnet.landmarks.ibug import N_LANDMARKS
from mfnet.params import LandmarkParams

if TYPE_CHECKING:  # heavy, and loaded by the backend that needs it alone
    from face_alignment import FaceAlignment

    from mfnet.geometry.crops import CropBox
    from mfnet.landmarks.network import LandmarkDetector


class Detection(NamedTuple):
    """What a backend found in one image: landmarks [68, 2] in image px and their mean score in [0, 1], or a reason."""

    landmarks: np.ndarray | None
    score: float
    reason: str | None = None
    faces: int = 1
    """Faces that it saw; the landmarks are of the largest. The embedded network and annotations know of one."""
    scores: np.ndarray | None = None
    """[68] of each point; None where a backend knows their mean alone."""
    box: np.ndarray | None = None
    """[4] left, top, right, bottom, px: where the points were looked for; None where nothing found the face first."""
    mesh: np.ndarray | None = None
    """[478, 2] px of MediaPipe's face mesh, which the landmarks come from; None of other backends."""


@runtime_checkable
class LandmarkBackend(Protocol):
    """What the detectors have in common: photographs in, 68 landmarks in iBUG's order for each."""

    @property
    def name(self) -> str:
        """As ``landmarks.backend`` spells it, and as the tables do."""
        ...

    @property
    def detector(self) -> str:
        """What found the face before its points were located; ``none`` where nothing did."""
        ...

    def version(self) -> str:
        """Of the code that works: the package of others, or ours."""
        ...

    def fingerprint(self) -> str:
        """What the result depends on besides images and code. Raises InputError where the backend cannot work."""
        ...

    def source(self, path: str) -> str:
        """Hash of what gives the landmarks of one image: the weights, or the file that they are read from."""
        ...

    def detect(self, paths: list[str], images: list[np.ndarray]) -> list[Detection]:
        """Landmarks of images (RGB uint8 [H, W, 3]) whose paths relative to the archive's root are `paths`.

        One `Detection` an image, in their order: [68, 2] as (x, y) in px of that image, centres of pixels at +0.5.
        """
        ...


def default_backend(network: str | Path) -> LandmarkBackend:
    """MediaPipe where its assets are here, else the embedded network of weights `network`, which it says: that one is
    trained on drawn people, and on photographs of real ones finds a face only where it fills the picture."""
    backend = MediaPipeBackend()
    try:
        backend.fingerprint()
    except InputError as error:
        print(f"the embedded landmark network is used, made for drawn people: {error}", file=sys.stderr)
        return NetworkBackend(str(network))
    return backend


def make_backend(params: LandmarkParams, root: str | Path, network: str | Path) -> LandmarkBackend:
    """The backend of `params`; `root`: of the image archive; `network`: weights of the embedded one."""
    if params.backend == "network":
        return NetworkBackend(str(network))
    if params.backend == "mediapipe":
        return MediaPipeBackend()
    if params.backend == "face_alignment":
        return FaceAlignmentBackend(params.fan_weights)
    return AnnotationBackend(str(params.annotations or root))


# ------------------------------------------------------------------------------------------------ embedded network
@dataclass(frozen=True)
class NetworkBackend:
    """The network of stage ``pretrained@landmarks``."""

    weights: str
    name: str = "network"
    detector: str = "whole image"

    def version(self) -> str:
        return version("mfnet")

    def fingerprint(self) -> str:
        embedded_detector(self.weights)
        return file_hash(self.weights)

    def source(self, path: str) -> str:
        return _hash_once(self.weights)

    def detect(self, paths: list[str], images: list[np.ndarray]) -> list[Detection]:
        landmarks, scores, boxes = embedded_detector(self.weights).find(images)
        found = zip(landmarks, scores, boxes, strict=True)
        return [Detection(points, float(score.mean()), scores=score, box=_corners(box)) for points, score, box in found]


def _corners(box: "CropBox") -> np.ndarray:
    centre = np.array([box.centre_x, box.centre_y])
    return np.concatenate([centre - box.side / 2, centre + box.side / 2])


@functools.cache
def _hash_once(path: str) -> str:
    return file_hash(path)


@functools.cache
def embedded_detector(weights: str) -> "LandmarkDetector":
    """The embedded network with the weights of a file, loaded once per process."""
    from mfnet.landmarks.network import load_landmark_detector

    return load_landmark_detector(weights)


# -------------------------------------------------------------------------------------------------------- MediaPipe
@dataclass(frozen=True)
class MediaPipeBackend:
    """MediaPipe's face detectors and Face Mesh V2 (`mfnet.landmarks.mediapipe`), from the assets of `mfnet.assets`.

    The score is that of a face's presence; there is none of single points.
    """

    name: str = "mediapipe"
    detector: str = "blazeface"

    def version(self) -> str:
        return version("mfnet")

    def fingerprint(self) -> str:
        from mfnet.landmarks.mediapipe.networks import FULL_RANGE, TASK

        for name in (TASK, FULL_RANGE):
            assets.read(name)  # which checks its hash
        return self.source("")

    def source(self, path: str) -> str:
        from mfnet.landmarks.mediapipe.networks import FULL_RANGE, TASK

        return "-".join(assets.asset(name).sha256 for name in (TASK, FULL_RANGE))

    def detect(self, paths: list[str], images: list[np.ndarray]) -> list[Detection]:
        return [self._largest(image) for image in images]

    def _largest(self, image: np.ndarray) -> Detection:
        from mfnet.landmarks.mediapipe.faces import find_faces
        from mfnet.landmarks.mediapipe.ibug68 import ibug68

        faces = find_faces(image)
        if not faces:
            return Detection(None, 0.0, "no face", faces=0)
        mesh, corners = faces[0].mesh, faces[0].box.corners
        landmarks, flat, box = ibug68(mesh.points)[:, :2], mesh.points[:, :2], _around(corners)
        return Detection(landmarks, mesh.presence, faces=len(faces), box=box, mesh=flat)


def _around(corners: np.ndarray) -> np.ndarray:
    """Left, top, right, bottom [4] of the corners [N, 2] of a turned box."""
    return np.concatenate([corners.min(0), corners.max(0)])


# --------------------------------------------------------------------------------------------------- face_alignment
@dataclass(frozen=True)
class FaceAlignmentBackend:
    """FAN's 2D mode with its S3FD face detector, by the package `face_alignment`. Nothing is ever downloaded.

    folder: of the two weight files, or None for torch hub's cache, where the package itself would put them.
    """

    folder: str | None
    name: str = "face_alignment"
    detector: str = "s3fd"

    def version(self) -> str:
        import face_alignment

        return face_alignment.__version__

    def fingerprint(self) -> str:
        return "-".join([self.version(), *(file_hash(path) for path in fan_files(self.folder))])

    def source(self, path: str) -> str:
        return "-".join(_hash_once(str(file)) for file in fan_files(self.folder))

    def detect(self, paths: list[str], images: list[np.ndarray]) -> list[Detection]:
        network = _fan(self.folder)
        return [_largest_face(network, image) for image in images]


def fan_files(folder: str | None) -> list[Path]:
    """FAN's and its face detector's weight files; raises InputError that says which file goes where."""
    import torch
    from face_alignment.api import models_urls as networks
    from face_alignment.detection.sfd.sfd_detector import models_urls as detectors

    place = Path(folder) if folder else Path(torch.hub.get_dir(), "checkpoints")
    urls = [networks["2DFAN-4"], detectors["s3fd"]]
    files = [place / url.rsplit("/", 1)[1] for url in urls]
    for file, url in zip(files, urls, strict=True):
        if not file.is_file():
            key = "landmarks.fan_weights" if folder else "landmarks.backend: face_alignment"
            raise InputError(f"{key}: {file} is missing; fetch {url} and put it there (nothing is downloaded here)")
    return files


@functools.cache
def _fan(folder: str | None) -> "FaceAlignment":
    """The package's own detector, made from files that are there already."""
    import tempfile

    import face_alignment
    import torch

    files = fan_files(folder)
    hub = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as stand_in:  # the package takes FAN from torch hub's cache only
        checkpoints = Path(stand_in, "checkpoints")
        checkpoints.mkdir()
        for file in files:
            (checkpoints / file.name).symlink_to(file.resolve())
        torch.hub.set_dir(stand_in)
        try:
            return face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                device="cuda" if torch.cuda.is_available() else "cpu",
                compile=False,
            )
        except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
            names = " or ".join(str(file) for file in files)
            raise InputError(f"{names}: not FAN's weights: {' '.join(str(error).split())[:200]}") from None
        finally:
            torch.hub.set_dir(hub)


def _largest_face(network: "FaceAlignment", image: np.ndarray) -> Detection:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of every image without a face
        found = network.get_landmarks_from_image(image, return_bboxes=True, return_landmark_score=True)
    landmarks, scores, boxes = cast(tuple[Any, Any, Any], found)  # the package has no types: always three, asked thus
    if landmarks is None:
        return Detection(None, 0.0, "no face", faces=0)
    best = int(np.argmax([(box[2] - box[0]) * (box[3] - box[1]) for box in boxes]))
    maps = 2 if network.flip_input else 1  # heat maps of the image and of its mirror image are summed
    sure = np.clip(np.asarray(scores[best], np.float64).ravel() / maps, 0, 1)
    box, points = np.asarray(boxes[best][:4], np.float64), np.asarray(landmarks[best], np.float64)
    return Detection(points, float(sure.mean()), faces=len(landmarks), scores=sure, box=box)


# ------------------------------------------------------------------------------------------------- annotation files
@dataclass(frozen=True)
class AnnotationBackend:
    """Files with the image's relative path and another ending; their score is 1.

    .npy [68, 2], .npz (key ``landmarks``) and .txt (68 lines "x y") hold the project's pixels, centres at +0.5;
    .pts is iBUG's format, whose first pixel's centre is (1, 1), and so is that of .mat (variable ``pts`` [68, 2]).

    Multi-PIE's own labels, ``labels/CCL/NNN_SS_RR_CCL_II_lm.mat``, are found where `folder` holds ``labels`` or is it,
    or beside the images. They are of one flash; the others of a recording, taken within a second, share it. Profiles
    have 39 points there, and some cameras 66: such an image is rejected with the reason.
    """

    folder: str
    name: str = "annotations"
    detector: str = "none"

    def version(self) -> str:
        return version("mfnet")

    def fingerprint(self) -> str:
        if not Path(self.folder).is_dir():
            raise InputError(f"landmarks.annotations: {self.folder}: no such folder")
        return self.folder

    def source(self, path: str) -> str:
        file = next((file for file, _ in self._candidates(path) if file.is_file()), None)
        return "none" if file is None else file_hash(file)

    def _candidates(self, path: str) -> list[tuple[Path, Callable[[Path], np.ndarray]]]:
        """The files that may hold an image's landmarks, each with its reader, in the order of preference."""
        from mfnet.datasets.multipie import ANNOTATIONS  # late: it brings pandas

        image = Path(self.folder, path)
        own = [(image.with_suffix(ending), read) for ending, read in zip(ANNOTATIONS, _READERS, strict=True)]
        return own + [(file, _read_mat) for file in _label_files(self.folder, image)]

    def detect(self, paths: list[str], images: list[np.ndarray]) -> list[Detection]:
        return [self._read(path) for path in paths]

    def _read(self, path: str) -> Detection:
        for file, read in self._candidates(path):
            if not file.is_file():
                continue
            try:
                landmarks = read(file)
            except ValueError as error:
                reason = " ".join(str(error).removeprefix(f"{file}: ").split())[:200]
                return Detection(None, 0.0, f"unreadable annotation: {file.name}: {reason}")
            if landmarks.shape != (N_LANDMARKS, 2):
                return Detection(None, 0.0, f"bad annotation: {file.name}: shape {landmarks.shape}, not (68, 2)")
            return Detection(landmarks, 1.0)
        return Detection(None, 0.0, "no annotation file")


def _label_files(folder: str, image: Path) -> list[Path]:
    """Where Multi-PIE's label of an image may be, that of its own flash first."""
    from mfnet.datasets.multipie import ILLUMINATIONS, LABEL  # late: it brings pandas

    recording, _, flash = image.stem.rpartition("_")
    camera = recording.rpartition("_")[2]
    flashes = sorted((f"{number:02d}" for number in ILLUMINATIONS), key=lambda number: number != flash)
    places = [Path(folder, "labels", camera), Path(folder, camera), image.parent]
    return [place / f"{recording}_{number}{LABEL}" for number in flashes for place in places]


_MAX_ANNOTATION = 1 << 20
"""Bytes of an annotation file, and of what it unpacks to."""
_MAX_LABEL = 1 << 18


def _read_npy(file: Path) -> np.ndarray:
    return _numbers(parse_npy(read_bytes(file, _MAX_ANNOTATION), file))


def _read_npz(file: Path) -> np.ndarray:
    read_bytes(file, _MAX_ANNOTATION)  # a larger one is not opened
    arrays = read_npz(file, _MAX_ANNOTATION, {"landmarks"})
    if "landmarks" not in arrays:
        raise ValueError("field 'landmarks' is missing")
    return _numbers(arrays["landmarks"])


def _numbers(content: object) -> np.ndarray:
    if not isinstance(content, np.ndarray) or content.dtype.kind not in "fiu":
        raise ValueError("not an array of numbers")
    return content.astype(np.float64)


def _read_txt(file: Path) -> np.ndarray:
    return np.array([line.replace(",", " ").split() for line in _lines(_text(file))], float)


def _read_pts(file: Path) -> np.ndarray:
    text = _text(file)
    inside = text[text.index("{") + 1 : text.index("}")]
    return np.array([line.split() for line in _lines(inside)], float) - 0.5


def _read_mat(file: Path) -> np.ndarray:
    arrays = parse_mat(read_bytes(file, _MAX_LABEL), {"pts"})
    if "pts" not in arrays:
        raise ValueError("variable 'pts' is missing")
    return arrays["pts"] - 0.5


def _text(file: Path) -> str:
    return read_bytes(file, _MAX_ANNOTATION).decode("utf-8")


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


_READERS = (_read_npy, _read_npz, _read_pts, _read_txt, _read_mat)
