"""MediaPipe's three networks, from the assets' bytes, by OpenCV's own dnn module."""

import functools
import tempfile
from typing import NamedTuple

import cv2
import numpy as np

from mfnet import assets
from mfnet.errors import InputError
from mfnet.io.zips import read_member

TASK = "face_landmarker.task"
"""Asset, a zip archive, with the short-range detector and the mesh."""
FULL_RANGE = "face_detection_full_range.tflite"
"""Asset with the full-range detector."""
_MAX_NETWORK = 8 << 20


class Network(NamedTuple):
    """A network and what goes in and out of it."""

    net: cv2.dnn.Net
    side: int
    """Of the square that it sees, pixels."""
    low: float
    """What black is to it; white is 1."""
    outputs: tuple[str, ...]

    def __call__(self, crop: np.ndarray) -> list[np.ndarray]:
        """An RGB uint8 crop [side, side, 3] -> the outputs, without their batch axis."""
        scale = (1 - self.low) / 255
        blob = np.ascontiguousarray((crop.astype(np.float32) * scale + self.low).transpose(2, 0, 1)[None])
        self.net.setInput(blob)
        return [output[0] for output in self.net.forward(list(self.outputs))]


class Networks(NamedTuple):
    """What `mfnet.landmarks.mediapipe.faces` stands on."""

    full_range: Network
    """Faces as small as a tenth of the square."""
    short_range: Network
    """Faces that fill it."""
    mesh: Network


@functools.cache
def load_networks() -> Networks:
    """The networks, once a process. Raises InputError, which says how to get them, where an asset is missing."""
    task = assets.read(TASK)
    return Networks(
        _network(assets.read(FULL_RANGE), 192, -1, ("reshaped_regressor_face_4", "reshaped_classifier_face_4")),
        _network(_member(task, "face_detector.tflite"), 128, -1, ("regressors", "classificators")),
        _network(_member(task, "face_landmarks_detector.tflite"), 256, 0, ("Identity", "Identity_1")),
    )


def _member(task: bytes, name: str) -> bytes:
    return read_member(task, name, _MAX_NETWORK, TASK)


def _network(content: bytes, side: int, low: float, outputs: tuple[str, ...]) -> Network:
    # OpenCV 5.0's new engine keeps one output of several; 4.x has the classic engine alone, and no such argument
    engine = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
    try:
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:  # OpenCV 5.0 ignores `engine` for bytes
            file.write(content)
            file.flush()
            net = cv2.dnn.readNetFromTFLite(file.name, **engine)
    except cv2.error as error:
        raise InputError(
            f"OpenCV {cv2.__version__} cannot run MediaPipe's networks ({error.err}); install 5.0"
        ) from None
    return Network(net, side, low, outputs)
