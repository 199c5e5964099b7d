"""Sharp frames of a video, read by OpenCV."""

from pathlib import Path

import cv2
import numpy as np

from mfnet.errors import InputError
from mfnet.io.images import MAX_PIXELS

SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
FRAMES = 7
"""Of a video that are taken, spread over its length."""
CANDIDATES = 4
"""Frames that are looked at for each of them."""


def sharp_frames(path: str | Path, count: int = FRAMES) -> list[tuple[int, np.ndarray]]:
    """(number, RGB uint8 [H, W, 3]) of `count` frames: the sharpest of some in each part of the video's length.

    Frames are turned as the video says. Raises InputError for a file that is no video, or has fewer frames.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    video = cv2.VideoCapture(str(path))
    try:
        total = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
        width, height = (video.get(each) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if total < count:
            raise InputError(f"{path}: not a video that OpenCV reads, or one of fewer than {count} frames")
        if width * height > MAX_PIXELS:
            raise InputError(f"{path}: frames of {width:.0f} x {height:.0f} px, over {MAX_PIXELS / 1e6:g} Mpx")
        parts = [np.linspace(*ends, CANDIDATES, endpoint=False).astype(int) for ends in _parts(total, count)]
        found = [max((_frame(video, int(at)) for at in part), key=_sharpness) for part in parts]
    finally:
        video.release()
    kept = [(at, frame) for at, frame in found if frame is not None]
    if not kept:
        raise InputError(f"{path}: no frame of it can be read")
    return [(at, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)) for at, frame in kept]


def _parts(total: int, count: int) -> list[tuple[float, float]]:
    edges = np.linspace(0, total, count + 1)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _frame(video: cv2.VideoCapture, number: int) -> tuple[int, np.ndarray | None]:
    video.set(cv2.CAP_PROP_POS_FRAMES, number)
    read, frame = video.read()
    return number, frame if read else None


def _sharpness(frame: tuple[int, np.ndarray | None]) -> float:
    """Variance of the Laplacian of the grey picture; below any picture's where there is none."""
    if frame[1] is None:
        return -1.0
    return float(cv2.Laplacian(cv2.cvtColor(frame[1], cv2.COLOR_BGR2GRAY), cv2.CV_32F).var())
