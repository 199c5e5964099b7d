"""iBUG's 68 points from the 478 of a face mesh."""

import numpy as np

_JAW = (
    (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152),
    (356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152),
)
"""The oval of the face from the subject's right ear, and from the left one, down to the chin."""
_STATIC = (
    *((70, 46), (63, 53), (105, 52), (66, 65), (107, 55)),  # right brow: between its edges
    *((336, 285), (296, 295), (334, 282), (293, 283), (300, 276)),  # left brow
    *((168,), (197,), (195, 5), (4,)),  # bridge and tip of the nose
    *((75, 64), (97,), (2,), (326,), (305, 294)),  # its base
    *((33,), (160,), (158,), (133,), (153,), (144,)),  # right eye
    *((362,), (385,), (387,), (263,), (373,), (380,)),  # left eye
    *((61,), (39,), (37,), (0,), (267,), (269,), (291,), (321,), (314,), (17,), (84,), (91,)),  # outer lips
    *((78,), (82,), (13,), (312,), (308,), (317,), (14,), (87,)),  # inner lips
)
"""Points 17 to 67, each the mean of some of the mesh."""
_HALF = 9
"""Points of the jaw from an ear to the chin, both included."""


def ibug68(points: np.ndarray) -> np.ndarray:
    """A mesh [478, K] (x and y first) -> iBUG's points [68, K].

    The mesh's oval lies on the skin, where iBUG's contour is the outline that a photograph shows: beyond some 35
    degrees of yaw the far half of the jaw is not iBUG's.
    """
    right, left = (_evenly(points[list(line)]) for line in _JAW)
    return np.concatenate([right, left[-2::-1], [points[list(each)].mean(axis=0) for each in _STATIC]])


def _evenly(line: np.ndarray) -> np.ndarray:
    """Points [_HALF, K] at equal distances in the image along a line [N, K]."""
    along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1))]
    at = np.linspace(0, along[-1], _HALF)
    return np.stack([np.interp(at, along, values) for values in line.T], axis=1)
