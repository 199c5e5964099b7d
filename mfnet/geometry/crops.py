"""Square crops around a face, in the project's pixels (centres at +0.5)."""

import math
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from mfnet.errors import InputError
from mfnet.geometry.cameras import pixels_to_ndc

Points = TypeVar("Points", np.ndarray, Tensor)


MAX_DENSE = 4096
"""Samples on a side of a crop before they are averaged: 200 MB in float32. A larger face may alias a little."""
_MAX_RATIO = 10
_WHOLE = 1 << 21
"""Pixels up to which an image is worked on whole."""


class CropBox(NamedTuple):
    """A square in source pixels."""

    centre_x: float
    centre_y: float
    side: float
    angle: float = 0.0
    """Of its upper edge to the rows of the image, radians, clockwise as one sees it; 0: upright."""


class FaceCrop(NamedTuple):
    """A photograph as the networks want it."""

    image: np.ndarray
    """[S, S, 3] uint8 RGB."""
    matrix: np.ndarray
    """[3, 3] px of the photograph to px of the crop."""
    landmarks: np.ndarray
    """[68, 2] ndc of the crop."""

    @property
    def to_photograph(self) -> np.ndarray:
        """[3, 3] px of the crop to px of the photograph."""
        return np.linalg.inv(self.matrix)


def crop_face(image: np.ndarray, landmarks: np.ndarray, scale: float, size: int) -> FaceCrop:
    """Crop a photograph [H, W, 3] uint8 to its landmarks [68, 2] (px): `scale` times their box, `size` px wide.

    Raises InputError where the landmarks are not finite or all in one point.
    """
    return cut_face(image, landmarks, crop_box(landmarks, scale), size)


def cut_face(image: np.ndarray, landmarks: np.ndarray, box: CropBox, size: int) -> FaceCrop:
    """Crop a photograph [H, W, 3] uint8 and its landmarks [68, 2] (px) to a given box, `size` px wide.

    Raises InputError where the box lies beside the photograph or is more than ten times as large.
    """
    require_overlap(box, image)
    matrix = crop_matrix(box, size)
    points = torch.from_numpy(transform_points(np.asarray(landmarks, np.float64), matrix))
    return FaceCrop(crop_image(image, box, size), matrix, pixels_to_ndc(points, size, size).numpy())


def crop_box(landmarks: np.ndarray, scale: float) -> CropBox:
    """The square centred on the bounding box of landmarks [N, 2] (px), `scale` times its larger side.

    Raises InputError where the landmarks are not finite or all in one point.
    """
    low, high = np.min(landmarks, 0), np.max(landmarks, 0)
    side = scale * float(np.max(high - low))
    if not (math.isfinite(side) and side > 0):
        raise InputError(f"landmarks: their bounding box has side {side:g} px; give finite, distinct points")
    centre = (low + high) / 2
    return CropBox(float(centre[0]), float(centre[1]), side)


def require_overlap(box: CropBox, image: np.ndarray) -> None:
    """Raise InputError where a box lies beside an image [H, W, 3] or dwarfs it: then its landmarks are no face's."""
    height, width = image.shape[:2]
    half = box.side / 2
    beside = abs(box.centre_x - width / 2) >= half + width / 2 or abs(box.centre_y - height / 2) >= half + height / 2
    if beside or box.side > _MAX_RATIO * max(height, width):
        raise InputError(
            f"landmarks: their box, {box.side:.0f} px around ({box.centre_x:.0f}, {box.centre_y:.0f}), does not fit an "
            f"image of {width} x {height} px"
        )


def crop_matrix(box: CropBox, size: int) -> np.ndarray:
    """The affine map [3, 3] (float64) from source pixels to pixels of the `size` x `size` crop."""
    scale, half = size / box.side, box.side / 2
    c, s = math.cos(box.angle), math.sin(box.angle)
    left, top = box.centre_x - (c * half - s * half), box.centre_y - (s * half + c * half)
    turned = np.array([[c, s, -(c * left + s * top)], [-s, c, s * left - c * top]])
    return np.vstack([scale * turned + 0.0, [0, 0, 1]])  # no -0.0, which has other bytes than 0.0


def crop_image(image: np.ndarray, box: CropBox, size: int) -> np.ndarray:
    """Cut `box` out of an image [H, W, 3] uint8 and resample it to [size, size, 3] uint8; outside the image is black.

    A box larger than the crop is sampled `ceil(side / size)` times as densely and averaged, so that nothing aliases;
    memory bounds that to MAX_DENSE samples a side.
    """
    image, box = _surroundings(image, box)
    factor = max(1, min(math.ceil(box.side / size), MAX_DENSE // size))
    matrix = crop_matrix(box, factor * size)
    matrix[:2, 2] += 0.5 * (matrix[:2, :2].sum(axis=1) - 1)  # OpenCV's pixel centres are whole numbers
    source = image if factor == 1 else image.astype(np.float32)  # rounded once, at the end
    dense = cv2.warpAffine(source, matrix[:2], (factor * size, factor * size), flags=cv2.INTER_LINEAR, borderValue=0)
    if factor == 1:
        return dense
    return np.rint(cv2.resize(dense, (size, size), interpolation=cv2.INTER_AREA)).astype(np.uint8)


def _surroundings(image: np.ndarray, box: CropBox) -> tuple[np.ndarray, CropBox]:
    """The part of a large image that a box can show, and the box in it: no more is worked on than is looked at."""
    if image.shape[0] * image.shape[1] <= _WHOLE:
        return image, box
    reach = box.side * math.sqrt(0.5) + 2  # half the diagonal, and what interpolation looks at
    left, top = max(0, math.floor(box.centre_x - reach)), max(0, math.floor(box.centre_y - reach))
    part = image[top : max(0, math.ceil(box.centre_y + reach)), left : max(0, math.ceil(box.centre_x + reach))]
    if not part.size:
        return image, box
    return part, box._replace(centre_x=box.centre_x - left, centre_y=box.centre_y - top)


def transform_points(points: Points, matrix: Points) -> Points:
    """Apply affine maps [..., 3, 3] to points [..., N, 2]; both NumPy arrays or both tensors."""
    return points @ matrix[..., :2, :2].swapaxes(-1, -2) + matrix[..., None, :2, 2]
