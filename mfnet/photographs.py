"""Photographs of one person, or frames of a video: found on disk, their faces found, cropped as networks want them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet.errors import InputError
from mfnet.fitting.held import Rig
from mfnet.flame.dense import N_DENSE
from mfnet.geometry import crop_face, pixels_to_ndc
from mfnet.geometry.aim import aim
from mfnet.geometry.crops import CropBox, FaceCrop, crop_box, cut_face, transform_points
from mfnet.io import video
from mfnet.io.cameras import METRES, CalibratedCamera
from mfnet.io.images import read_photo, to_float
from mfnet.io.scenes import camera_of, read_cameras
from mfnet.landmarks.backends import Detection, LandmarkBackend

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
"""What is taken for a photograph in a folder."""
VIEW_AXES = np.diag([1.0, -1.0, -1.0])
"""From OpenCV's axes of a camera (y down, z forwards) to a view's (y up, z towards the camera)."""
MAX_PHOTOGRAPHS = 32
"""Of one person: a fit's memory grows with them."""


@dataclass(frozen=True)
class Photograph:
    """One photograph and the face in it."""

    path: Path
    image: np.ndarray
    """[H, W, 3] uint8, upright."""
    landmarks: np.ndarray
    """[68, 2] px of `image`."""
    score: float
    """Of the landmarks, in [0, 1]."""
    crop: FaceCrop
    """As the networks see it."""
    mesh: np.ndarray | None = None
    """[478, 2] px of `image`: MediaPipe's face mesh, where that found the face."""
    camera: CalibratedCamera | None = None
    """That took `image`, where it is known: the photograph's own, turned to the face, without its distortion."""

    def box(self, scale: float) -> CropBox:
        """The square in px of `image` with `scale` times the landmarks' box."""
        return crop_box(self.landmarks, scale)

    def wide(self, scale: float, size: int) -> np.ndarray:
        """[size, size, 3] uint8: `scale` times the landmarks' box, at the photograph's own resolution."""
        return cut_face(self.image, self.landmarks, self.box(scale), size).image

    def covers(self, box: CropBox, size: int) -> np.ndarray:
        """[size, size] bool: which pixels of a crop to `box` lie in the photograph; the others are black or mixed."""
        steps = ((np.arange(size) + 0.5) / size - 0.5) * box.side
        height, width = self.image.shape[:2]
        columns, rows = box.centre_x + steps, box.centre_y + steps
        edge = 0.5 + box.side / size / 2  # of what a pixel mixes
        across, down = (columns >= edge) & (columns <= width - edge), (rows >= edge) & (rows <= height - edge)
        return down[:, None] & across


def find_photographs(paths: Sequence[str | Path]) -> list[Path]:
    """The photographs that paths name: files, and the images in folders, by name.

    Raises InputError for a path that is not there, a folder without photographs, and too many of them.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
            if not inside:
                raise InputError(f"{path}: no photographs in this folder ({', '.join(SUFFIXES)})")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"{path}: no such file")
    if not 1 <= len(found) <= MAX_PHOTOGRAPHS:
        raise InputError(f"{len(found)} photographs; give 1 to {MAX_PHOTOGRAPHS} of one person")
    return found


class CropRules(NamedTuple):
    """How faces are cut out, and which are believed."""

    size: int
    """Side of a crop, pixels."""
    scale: float
    """Side of a crop over the larger side of the landmarks' box."""
    min_score: float
    """Landmarks that score less are refused."""


def read_photographs(
    paths: Sequence[Path],
    backend: LandmarkBackend,
    rules: CropRules,
    cameras: str | Path | None = None,
) -> list[Photograph]:
    """Photographs, and frames of videos, with the face in each. cameras: a file or folder that `read_cameras` takes.

    Of several faces the largest is taken, and that there are more is said on stderr. A frame without a face is passed
    over. Raises InputError for a file that is no image, shows no face, or whose landmarks score too little, for a video
    without a face, and for a photograph whose camera is not known or is of another size.
    """
    known = None if cameras is None else read_cameras(cameras)
    photographs = []
    for path in paths:
        if path.suffix.lower() in video.SUFFIXES:
            if known is not None:
                raise InputError(f"{path}: the frames of a video have no names to find their cameras by")
            photographs += _frames(path, backend, rules)
            continue
        image = read_photo(path)
        detection = backend.detect([path.name], [image])[0]
        found = _photograph(path, image, detection, rules)
        if known is not None and cameras is not None:
            camera = camera_of(known, path, cameras).of_photograph(image.shape[1], image.shape[0], cameras)
            found = _aimed(found, camera, rules)
        photographs.append(found)
    return photographs


def _photograph(path: Path, image: np.ndarray, detection: Detection, rules: CropRules) -> Photograph:
    landmarks = _landmarks(path, detection, rules.min_score)
    crop = crop_face(image, landmarks, rules.scale, rules.size)
    return Photograph(path, image, landmarks, detection.score, crop, detection.mesh)


def _frames(path: Path, backend: LandmarkBackend, rules: CropRules) -> list[Photograph]:
    """The sharp frames of a video that show a face, named ``video.mp4#120``."""
    frames = video.sharp_frames(path)
    found = zip(frames, backend.detect([path.name] * len(frames), [image for _, image in frames]), strict=True)
    kept = [
        _photograph(Path(f"{path}#{number}"), image, detection, rules)
        for (number, image), detection in found
        if detection.landmarks is not None and detection.score >= rules.min_score
    ]
    if not kept:
        raise InputError(f"{path}: no face in {len(frames)} of its frames; use a video with one clear face")
    return kept


def _aimed(photograph: Photograph, camera: CalibratedCamera, rules: CropRules) -> Photograph:
    """The photograph as its camera would have taken it without distortion, looking at the face."""
    aimed = aim(camera, photograph.landmarks)
    image, landmarks = aimed.image(photograph.image), aimed.moved(photograph.landmarks)
    mesh = None if photograph.mesh is None else aimed.moved(photograph.mesh)
    crop = crop_face(image, landmarks, rules.scale, rules.size)
    return replace(photograph, image=image, landmarks=landmarks, crop=crop, mesh=mesh, camera=aimed.camera)


def crops_of(photographs: Sequence[Photograph]) -> tuple[Tensor, Tensor]:
    """Crops [V, 3, S, S] in [0, 1] and their landmarks [V, 68, 2] in ndc."""
    pixels = np.stack([photograph.crop.image for photograph in photographs])
    landmarks = np.stack([photograph.crop.landmarks for photograph in photographs])
    return to_float(torch.from_numpy(pixels).permute(0, 3, 1, 2)), torch.from_numpy(landmarks).float()


def meshes_of(photographs: Sequence[Photograph]) -> Tensor | None:
    """Meshes [V, 478, 2] in ndc of the crops, NaN for a photograph without; None where none has one."""
    if all(photograph.mesh is None for photograph in photographs):
        return None
    nowhere = torch.full((N_DENSE, 2), torch.nan)
    return torch.stack([nowhere if each.mesh is None else _in_crop(each, each.mesh) for each in photographs])


def rig_of(photographs: Sequence[Photograph]) -> Rig | None:
    """The cameras, for a fit that holds them; None where they are not known."""
    cameras = [photograph.camera for photograph in photographs]
    known = [camera for camera in cameras if camera is not None]
    if len(known) < len(photographs):
        return None
    sides = [each.crop.image.shape[0] / each.crop.matrix[0, 0] for each in photographs]  # px of the photograph
    rotation = np.stack([VIEW_AXES @ camera.R for camera in known])
    shift = np.stack([VIEW_AXES @ camera.t for camera in known])
    focal = np.array([2 * camera.K[0, 0] / side for camera, side in zip(known, sides, strict=True)])
    unit = known[0].unit
    turns, shifts, focals = (torch.from_numpy(value).float() for value in (rotation, shift, focal))
    return Rig(turns, shifts, focals, None if unit is None else 1 / METRES[unit])


def _in_crop(photograph: Photograph, points: np.ndarray) -> Tensor:
    """Points [N, 2] px of a photograph -> ndc of its crop."""
    size = photograph.crop.image.shape[0]
    return pixels_to_ndc(torch.from_numpy(transform_points(points, photograph.crop.matrix)).float(), size, size)


def _landmarks(path: Path, detection: Detection, min_score: float) -> np.ndarray:
    """Those of a detection that can be believed, [68, 2] px."""
    remedy = "use a photograph with one clear face"
    if detection.landmarks is None:
        raise InputError(f"{path}: {detection.reason or 'no face found'}; {remedy}")
    if detection.score < min_score:
        raise InputError(f"{path}: no face (score {detection.score:.2f}, {min_score:g} is asked for); {remedy}")
    if detection.faces > 1:
        print(f"{path}: {detection.faces} faces; the largest is taken", file=sys.stderr)
    return detection.landmarks
