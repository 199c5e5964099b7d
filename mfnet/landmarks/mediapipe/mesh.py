"""Face Mesh V2: 478 points of the face in a square."""

from typing import NamedTuple

import numpy as np

from mfnet.geometry.crops import CropBox, crop_matrix, transform_points
from mfnet.landmarks.mediapipe.networks import Network
from mfnet.landmarks.mediapipe.pyramid import Pyramid

N_POINTS = 478
"""468 of the skin, then five of each iris."""
RIGHT_EYE, LEFT_EYE = 33, 263
"""Outer corners (the subject's right and left)."""
_DETECTED = ((468,), (473,), (4,), (13, 14))
"""What a detector's first four points are: pupils, tip of the nose, middle of the mouth."""


class FaceMesh(NamedTuple):
    """A face in a photograph."""

    points: np.ndarray
    """[478, 3] x and y in px of the photograph (centres at +0.5); z in the same unit, smaller is nearer."""
    presence: float
    """That there is a face at all, in [0, 1]; there is no score of single points."""

    @property
    def roll(self) -> float:
        """Angle of the line from the right eye to the left one, radians, clockwise as one sees it."""
        x, y = self.points[LEFT_EYE, :2] - self.points[RIGHT_EYE, :2]
        return float(np.arctan2(y, x))

    @property
    def corners(self) -> np.ndarray:
        """[2, 2] upper left and lower right of its upright box, px."""
        return np.stack([self.points[:, :2].min(axis=0), self.points[:, :2].max(axis=0)])

    @property
    def side(self) -> float:
        """Larger side of that box, px."""
        return float(np.ptp(self.corners, axis=0).max())

    def distance(self, points: np.ndarray) -> float:
        """Mean distance of its eyes, nose and mouth from a detector's [4, 2] (px), over its larger side."""
        flat = self.points[:, :2]
        own = np.stack([flat[list(each)].mean(axis=0) for each in _DETECTED])
        return float(np.linalg.norm(own - points, axis=1).mean() / self.side)

    def crop(self, scale: float) -> CropBox:
        """The square around it, turned so that the face stands upright; `scale` times its larger side."""
        c, s = np.cos(self.roll), np.sin(self.roll)
        to_image = np.array([[c, -s], [s, c]])
        upright = self.points[:, :2] @ to_image
        low, high = upright.min(axis=0), upright.max(axis=0)
        centre = to_image @ (low + high) / 2
        return CropBox(float(centre[0]), float(centre[1]), scale * float(np.max(high - low)), self.roll)


def locate(network: Network, photo: Pyramid, square: CropBox) -> FaceMesh:
    """The mesh of the face that fills two thirds of a square of a photograph, upright in it."""
    values, logit = network(photo.crop(square, network.side))
    points = values.reshape(N_POINTS, 3).astype(np.float64)
    flat = transform_points(points[:, :2], np.linalg.inv(crop_matrix(square, network.side)))
    depth = points[:, 2:] * square.side / network.side
    return FaceMesh(np.hstack([flat, depth]), float(1 / (1 + np.exp(-np.float64(logit.reshape(-1)[0])))))
