"""A photograph at every halved size: a square of any extent is cropped in the same time."""

import cv2
import numpy as np

from mfnet.geometry.crops import CropBox, crop_image

_LEAST = 256
"""Longer side of the smallest level, pixels; no network sees less."""


class Pyramid:
    """An image and its halves. Coordinates are always px of the whole image."""

    def __init__(self, image: np.ndarray) -> None:
        """image: RGB uint8 [H, W, 3]."""
        self.levels = [image]
        while max(self.levels[-1].shape[:2]) >= 2 * _LEAST and min(self.levels[-1].shape[:2]) > 1:
            self.levels.append(_half(self.levels[-1]))

    @property
    def whole(self) -> CropBox:
        """The square around the whole image."""
        height, width = self.levels[0].shape[:2]
        return CropBox(width / 2, height / 2, float(max(height, width)))

    def tiles(self, parts: int) -> list[CropBox]:
        """Squares whose side is the longer side of the image over `parts`; each overlaps the next by half."""
        height, width = self.levels[0].shape[:2]
        side = max(height, width) / parts
        return [CropBox(x, y, side) for y in _centres(height, side) for x in _centres(width, side)]

    def crop(self, square: CropBox, size: int) -> np.ndarray:
        """A square as RGB uint8 [size, size, 3]; outside the image is black."""
        level = int(np.clip(np.log2(square.side / size), 0, len(self.levels) - 1))
        image, scale = self.levels[level], 2**level
        x, y, side = square.centre_x / scale, square.centre_y / scale, square.side / scale
        reach = side * np.sqrt(0.5) + 2  # half the diagonal, and what interpolation looks at
        left, top = max(0, int(x - reach)), max(0, int(y - reach))
        part = image[top : max(0, int(y + reach)), left : max(0, int(x + reach))]
        if not part.size:
            return np.zeros((size, size, 3), np.uint8)
        return crop_image(part, CropBox(x - left, y - top, side, square.angle), size)


def _half(image: np.ndarray) -> np.ndarray:
    """Every two by two pixels as one; a last odd row or column is dropped, so that the scale is exact."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    return cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)


def _centres(extent: float, side: float) -> np.ndarray:
    """Of squares half a side apart that cover an extent; one in the middle where it is no longer than a side."""
    if extent <= side:
        return np.array([extent / 2])
    count = int(np.ceil((extent - side) / (side / 2))) + 1
    return np.linspace(side / 2, extent - side / 2, count)
