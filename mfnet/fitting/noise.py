"""How far detected landmarks are off the head's own, by detector, region of the face and yaw.

A detector errs, and its 68 points are not quite the head's 68: for a fit both are noise. `SIGMAS` is the one table of
it; `python -m benchmarks.landmark_noise` measures a detector's on drawn heads.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mfnet.landmarks.ibug import EYE_PAIRS, LIP_PAIRS, N_CONTOUR, N_LANDMARKS
from mfnet.params import RefineParams

PAIRS = EYE_PAIRS + LIP_PAIRS
"""(upper, lower) landmarks whose distance, the opening of lids or lips, is measured too."""
REGIONS = {
    "jaw": range(17),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "mouth": range(48, 68),
}
"""Landmarks of each region, iBUG's order."""
OPENINGS = {"lids": range(len(EYE_PAIRS)), "lips": range(len(EYE_PAIRS), len(PAIRS))}
"""Rows of `PAIRS` of each kind."""
YAWS = (20.0, 40.0, 55.0)
"""Ends of the table's first columns, degrees from frontal either way; the last column is what lies beyond."""
NDC = 2 / 128
"""Ndc of one pixel of a 128 px crop, the unit of the table."""

SIGMAS: dict[str, dict[str, tuple[float, ...]]] = {
    "mediapipe": {
        "jaw": (4.0, 6.0, 10.0, 16.0),
        "brows": (1.5, 1.6, 2.3, 6.0),
        "nose": (2.2, 2.5, 3.1, 6.0),
        "eyes": (1.0, 1.2, 2.0, 5.4),
        "mouth": (1.4, 1.6, 2.7, 8.2),
        "lids": (1.3, 1.4, 1.4, 1.7),
        "lips": (1.5, 1.6, 1.8, 2.0),
    },
}
"""Detector -> region or opening -> root mean square error of a coordinate at each yaw, px of a 128 px crop."""
TOGETHER = 2.0
"""Errors of one face go together: a fit that took them for independent would believe the table too much by this."""


class LandmarkNoise(NamedTuple):
    """Standard deviations of a person's landmarks in V views, ndc of the crops."""

    points: Tensor
    """[V, 68] of each coordinate."""
    openings: Tensor
    """[V, 7] of each coordinate of the vector between the points of `PAIRS`."""

    def to(self, like: Tensor) -> "LandmarkNoise":
        """The same in the type and on the device of `like`."""
        return LandmarkNoise(*(part.to(like) for part in self))


def same_everywhere(settings: RefineParams, views: int) -> LandmarkNoise:
    """The noise that `settings` name: one for the contour, one for the other landmarks, one for openings."""
    points = torch.full((views, N_LANDMARKS), settings.landmark)
    points[:, :N_CONTOUR] = settings.contour
    return LandmarkNoise(points, torch.full((views, len(PAIRS)), settings.opening))


def landmark_noise(detector: str, yaw: Tensor, settings: RefineParams) -> LandmarkNoise:
    """The noise of a detector's landmarks in views at `yaw` [V], degrees.

    detector: as `mfnet.landmarks.backends` names it. The noise of one that is not in `SIGMAS` is that of `settings`.
    """
    if detector not in SIGMAS:
        return same_everywhere(settings, len(yaw))
    table = SIGMAS[detector]
    column = torch.bucketize(yaw.abs().cpu(), torch.tensor(YAWS))
    points, openings = torch.zeros(len(yaw), N_LANDMARKS), torch.zeros(len(yaw), len(PAIRS))
    for parts, values in ((REGIONS, points), (OPENINGS, openings)):
        for name, members in parts.items():
            values[:, list(members)] = TOGETHER * NDC * torch.tensor(table[name])[column, None]
    return LandmarkNoise(points, openings)
