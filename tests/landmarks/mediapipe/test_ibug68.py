"""478 points to 68."""

import numpy as np

from mfnet.landmarks.ibug import MIRRORED, N_CONTOUR
from mfnet.landmarks.mediapipe import ibug68 as module
from mfnet.landmarks.mediapipe.ibug68 import ibug68


def test_the_jaw_has_equal_steps_from_ear_to_chin():
    mesh = np.zeros((478, 3))
    angles = np.pi / 2 * np.linspace(0, 1, 12) ** 1.2  # uneven on the line
    for side, line in zip((-1, 1), module._JAW, strict=True):
        mesh[list(line), 0], mesh[list(line), 1] = side * np.cos(angles), np.sin(angles)
    steps = np.linalg.norm(np.diff(ibug68(mesh)[:N_CONTOUR, :2], axis=0), axis=1)
    assert steps.std() / steps.mean() < 0.02


def test_the_mirrored_mesh_has_the_mirrored_points(face_assets, astronaut):
    """Every point's counterpart in the table is the mirrored one: on a nearly symmetric face they lie opposite."""
    from mfnet.landmarks.mediapipe.faces import find_faces

    points = ibug68(find_faces(astronaut)[0].mesh.points)[:, :2]
    axis = points[[27, 28, 29, 30, 8]].mean(axis=0)
    mirrored = (points[MIRRORED] - axis) * [-1, 1] + axis
    assert np.linalg.norm(mirrored - points, axis=1).max() < 0.2 * np.linalg.norm(points[36] - points[45])
