"""BlazeFace: the boxes of the faces in a square of a photograph."""

from typing import NamedTuple

import numpy as np

from mfnet.geometry.crops import CropBox, crop_matrix, transform_points
from mfnet.landmarks.mediapipe.networks import Network
from mfnet.landmarks.mediapipe.pyramid import Pyramid

OVERLAP = 0.3
"""Intersection over union from which two boxes are of one face."""
FULL_RANGE_GRID = ((48, 1),)
"""(cells a side, anchors a cell) of the full-range detector."""
SHORT_RANGE_GRID = ((16, 2), (8, 6))
"""Those of the short-range detector."""


class FaceBox(NamedTuple):
    """A face as the detector sees it, in px of the photograph."""

    corners: np.ndarray
    """[2, 2] upper left and lower right."""
    points: np.ndarray
    """[6, 2] right eye, left eye, tip of the nose, mouth, right ear, left ear (the subject's)."""
    score: float

    @property
    def roll(self) -> float:
        """Angle of the line from the right eye to the left one, radians, clockwise as one sees it."""
        x, y = self.points[1] - self.points[0]
        return float(np.arctan2(y, x))

    def crop(self, scale: float) -> CropBox:
        """The square around it, turned so that the face stands upright; `scale` times the box's larger side."""
        centre, side = self.corners.mean(axis=0), float(np.max(self.corners[1] - self.corners[0]))
        return CropBox(float(centre[0]), float(centre[1]), scale * side, self.roll)


def anchors(grid: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Centres [A, 2] of the anchors as shares of the square's side, in the order of the network's outputs."""
    layers = []
    for cells, count in grid:
        y, x = np.mgrid[:cells, :cells]
        layers.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), count, axis=0) / cells + 0.5 / cells)
    return np.concatenate(layers)


ANCHORS = {side: anchors(grid) for side, grid in ((192, FULL_RANGE_GRID), (128, SHORT_RANGE_GRID))}
"""By the side of the network's square."""


def detect(network: Network, photo: Pyramid, square: CropBox, least: float) -> list[FaceBox]:
    """Faces in a square of a photograph whose score is `least` or more, the best first.

    network: a detector of `Networks`. Boxes that overlap are one face: their mean, weighted by their scores.
    """
    values, logits = network(photo.crop(square, network.side))
    scores = 1 / (1 + np.exp(-np.clip(logits[:, 0].astype(np.float64), -100, 100)))
    good = scores >= least
    offsets = values[good].reshape(-1, 8, 2) / network.side  # centre, extent, six points
    centre, extent = offsets[:, :1] + ANCHORS[network.side][good, None], offsets[:, 1:2]
    points = offsets[:, 2:] + ANCHORS[network.side][good, None]
    corners = np.concatenate([centre - extent / 2, centre + extent / 2, points], axis=1)  # [B, 8, 2]
    pixels = transform_points(network.side * corners, np.linalg.inv(crop_matrix(square, network.side)))
    upright = np.sort(pixels[:, :2], axis=1)  # the square may be turned
    return merged([FaceBox(*each) for each in zip(upright, pixels[:, 2:], scores[good].tolist(), strict=True)])


def merged(boxes: list[FaceBox]) -> list[FaceBox]:
    """One box a face, the best first: MediaPipe's weighted suppression."""
    left, faces = sorted(boxes, key=lambda box: -box.score), []
    while left:
        near = [overlap(left[0].corners, box.corners) > OVERLAP for box in left]
        faces.append(_mean([box for box, same in zip(left, near, strict=True) if same]))
        left = [box for box, same in zip(left, near, strict=True) if not same]
    return faces


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two upright boxes, given by their corners [2, 2]."""
    shared = np.prod(np.clip(np.minimum(a[1], b[1]) - np.maximum(a[0], b[0]), 0, None))
    return float(shared / (np.prod(a[1] - a[0]) + np.prod(b[1] - b[0]) - shared))


def _mean(boxes: list[FaceBox]) -> FaceBox:
    weights = np.array([box.score for box in boxes])
    corners = np.average([box.corners for box in boxes], axis=0, weights=weights)
    points = np.average([box.points for box in boxes], axis=0, weights=weights)
    return FaceBox(corners, points, boxes[0].score)
