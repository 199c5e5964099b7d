"""Photographs of one person: found on disk, their faces found in them, cropped as networks and textures want them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mfnet.errors import InputError
from mfnet.geometry import crop_face
from mfnet.geometry.crops import CropBox, FaceCrop, crop_box, cut_face
from mfnet.io.images import read_photo, to_float
from mfnet.landmarks.backends import Detection, LandmarkBackend

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
"""What is taken for a photograph in a folder."""
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


def read_photographs(
    paths: Sequence[Path], backend: LandmarkBackend, size: int, crop_scale: float, min_score: float
) -> list[Photograph]:
    """Photographs with the face in each, cropped to `crop_scale` times the landmarks' box, `size` px wide.

    Of several faces the largest is taken, and that there are more is said on stderr. Raises InputError for a file that
    is no image, shows no face, or whose landmarks score less than `min_score`.
    """
    images = [read_photo(path) for path in paths]
    photographs = []
    detections = backend.detect([path.name for path in paths], images)
    for path, image, detection in zip(paths, images, detections, strict=True):
        landmarks = _landmarks(path, detection, min_score)
        crop = crop_face(image, landmarks, crop_scale, size)
        photographs.append(Photograph(path, image, landmarks, detection.score, crop))
    return photographs


def crops_of(photographs: Sequence[Photograph]) -> tuple[Tensor, Tensor]:
    """Crops [V, 3, S, S] in [0, 1] and their landmarks [V, 68, 2] in ndc."""
    pixels = np.stack([photograph.crop.image for photograph in photographs])
    landmarks = np.stack([photograph.crop.landmarks for photograph in photographs])
    return to_float(torch.from_numpy(pixels).permute(0, 3, 1, 2)), torch.from_numpy(landmarks).float()


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
