"""Multi-PIE: its cameras, expressions, file names and images."""

import io
import os
import re
from pathlib import Path

import numpy as np
from PIL import Image

from mfnet.errors import InputError
from mfnet.io.files import MissingFile, read_bytes
from mfnet.io.images import check_photo, decode_photo

FRONTAL = "05_1"
"""The camera of the anchor view."""

YAW = {
    "24_0": 90.0,
    "01_0": 75.0,
    "20_0": 60.0,
    "19_0": 45.0,
    "04_1": 30.0,
    "05_0": 15.0,
    "05_1": 0.0,
    "14_0": -15.0,
    "13_0": -30.0,
    "08_0": -45.0,
    "09_0": -60.0,
    "12_0": -75.0,
    "11_0": -90.0,
}
"""Head-height cameras and their nominal yaw, degrees: > 0 stands on the subject's right."""

CEILING: dict[str, float | None] = {"19_1": None, "08_1": None}
"""The two cameras above; scanned, but in no triplet. No source states their yaw."""

EXPRESSIONS = {
    (1, 1): "neutral",
    (2, 1): "neutral",
    (3, 1): "neutral",
    (4, 1): "neutral",
    (4, 2): "neutral",
    (1, 2): "smile",
    (3, 2): "smile",
    (2, 2): "surprise",
    (2, 3): "squint",
    (3, 3): "disgust",
    (4, 3): "scream",
}
"""(session, recording) -> what the subject was asked to show."""

ILLUMINATIONS = range(20)
"""Flash numbers; 00 and 19 are without flash."""

SUBJECTS = range(1, 347)
"""Numbers of the subjects, nine of whom are absent."""

WIDTH, HEIGHT = 640, 480
"""Size of every multi-view image, pixels."""
MAX_BYTES = 16 << 20

OTHER_PARTS = ("highres", "meta", "movie")
"""Folders of the same archive that hold no multi-view image: left aside, not rejected."""

ANNOTATIONS = (".npy", ".npz", ".pts", ".txt", ".mat")
"""Endings of landmark files that may lie beside an image, with its name: left aside, not rejected."""

LABEL = "_lm.mat"
"""What the names of the archive's own label files have in place of an image's ending."""

IMAGES = (".png", ".jpg", ".jpeg", ".jp2", ".bmp", ".gif", ".heic", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
"""Endings of images, in any case. An image that is not used counts as rejected, wherever it lies."""

EXAMPLE = "session01/multiview/001/01/05_1/001_01_01_051_00.png"

_NAME = re.compile(r"([0-9]{3})_([0-9]{2})_([0-9]{2})_([0-9]{2})([0-9])_([0-9]{2})\.png", re.IGNORECASE)
_SESSION = re.compile(r"session[0-9]{2}")
_DEPTH = EXAMPLE.count("/")
PNG_TAIL = b"\x00\x00\x00\x00IEND\xaeB\x60\x82"


class RejectedImage(Exception):
    """An image, or a triplet for its sake, is left out; the message is the reason that the rejected table shows."""


def image_path(subject: str, session: int, recording: int, camera: str, illumination: int) -> str:
    """Path of an image relative to the archive's root: ``sessionSS/multiview/NNN/RR/CC_L/NNN_SS_RR_CCL_II.png``."""
    name = f"{subject}_{session:02d}_{recording:02d}_{camera.replace('_', '')}_{illumination:02d}.png"
    return f"session{session:02d}/multiview/{subject}/{recording:02d}/{camera}/{name}"


def is_aside(path: str) -> bool:
    """Whether a file belongs beside images and is neither used nor rejected: annotations, macOS's ``._`` twins."""
    name = path.rpartition("/")[2]
    stem, ending = os.path.splitext(name.removesuffix(LABEL) + ".mat" if name.endswith(LABEL) else name)
    return name.startswith("._") or (ending.lower() in ANNOTATIONS and _NAME.fullmatch(f"{stem}.png") is not None)


def is_below_images(folder: str) -> bool:
    """Whether a folder lies where only images should."""
    return folder.removeprefix("data/").count("/") >= _DEPTH


def is_session(name: str) -> bool:
    """Whether a folder is called as a session's is."""
    return _SESSION.fullmatch(name) is not None


def parse_path(path: str) -> tuple[str, int, int, str, int]:
    """(subject, session, recording, camera, illumination) of a path relative to the root; raises RejectedImage."""
    folders = path.removeprefix("data/").split("/")
    name = folders.pop()
    ending = os.path.splitext(name)[1].lower()
    if ending not in IMAGES or len(folders) != _DEPTH:
        raise RejectedImage("stray file")
    if ending != ".png":
        raise RejectedImage(f"image, but not PNG: {ending}")
    match = _NAME.fullmatch(name)
    if match is None:
        raise RejectedImage("bad name")
    subject, session, recording, number, level, illumination = match.groups()
    camera = f"{number}_{level}"
    if folders != [f"session{session}", "multiview", subject, recording, camera]:
        raise RejectedImage("name and folder differ")
    if int(subject) not in SUBJECTS:
        raise RejectedImage(f"unknown subject: {subject}")
    if camera not in YAW and camera not in CEILING:
        raise RejectedImage(f"unknown camera: {camera}")
    if (int(session), int(recording)) not in EXPRESSIONS:
        raise RejectedImage(f"unknown recording: {recording} of session {session}")
    if int(illumination) not in ILLUMINATIONS:
        raise RejectedImage(f"unknown illumination: {illumination}")
    return subject, int(session), int(recording), camera, int(illumination)


def image_bytes(path: str | Path, limit: int = MAX_BYTES) -> bytes:
    """The content of an image's file; raises RejectedImage, in the words of the scan, where it cannot be read."""
    try:
        return read_bytes(path, limit)
    except MissingFile:
        raise RejectedImage("unreadable: No such file or directory") from None
    except InputError as error:
        raise RejectedImage(f"unreadable: {str(error).removeprefix(f'{path}: ')}") from None


def read_image(path: str | Path) -> np.ndarray:
    """Decode a PNG to [H, W, 3] uint8 RGB; raises RejectedImage where it is missing or its data is damaged anywhere."""
    return decode_image(image_bytes(path))


def decode_image(data: bytes) -> np.ndarray:
    """`read_image` of a file's content."""
    end = data.find(PNG_TAIL)
    if 0 <= end < len(data) - len(PNG_TAIL):
        raise RejectedImage("broken PNG: bytes after its end")
    try:
        check_photo(data, ("PNG",))
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.verify()  # every chunk's checksum; decoding alone overlooks some damage
        return decode_photo(data, ("PNG",))
    except Exception as error:  # Pillow raises whatever a broken file makes it trip over
        raise RejectedImage(
            f"broken PNG: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from None
