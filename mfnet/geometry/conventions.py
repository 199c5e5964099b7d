"""The frames that NumPy code converts between, by name (docs/conventions.md has their axes).

- view: x to the image's right, y up, z towards the camera. A frontal face has the identity rotation; head space seen by
  a frontal camera, FaceScape's canonical head and its wild camera are of this kind.
- OpenCV: x to the image's right, y down, z away from the camera. Calibrated rigs and FaceScape's lab.
"""

import numpy as np

FLIP_YZ = np.array([1.0, -1.0, -1.0])
"""Signs of x, y and z between view axes and OpenCV's, either way: points [..., 3] times this."""
VIEW_TO_OPENCV = np.diag(FLIP_YZ)
"""The same as a rotation [3, 3] by half a turn about x; its own inverse."""


def about_x(angle: float) -> np.ndarray:
    """Rotation [3, 3] by `angle` (radians): positive turns y towards z, a nose on +z down."""
    return np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])


def about_y(angle: float) -> np.ndarray:
    """Rotation [3, 3] by `angle` (radians): positive turns z towards x, a nose on +z to the image's right (yaw > 0)."""
    return np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])


def about_z(angle: float) -> np.ndarray:
    """Rotation [3, 3] by `angle` (radians): positive turns x towards y, anticlockwise in the image."""
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
