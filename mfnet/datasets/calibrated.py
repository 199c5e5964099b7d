"""Calibrated multi-view sets: how NeRSemble v2, Multiface and FaceScape name their files, and what rigs must fulfil.

Their images are no training sets of one lab: subjects, sequences and cameras are named as each set likes. The scan that
puts them behind the manifest of `mfnet.datasets.multipie` is in `mfnet.datasets.calibrated_scan`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mfnet.datasets import multipie
from mfnet.datasets.multipie import RejectedImage
from mfnet.datasets.rigs import meeting_point
from mfnet.io.cameras import CalibratedCamera, read_facescape, read_krt, read_nersemble
from mfnet.io.images import NoPhoto, decode_photo

MAX_BYTES = 64 << 20
"""Of an image's file."""
_MISSED = 0.25
"""How far outside its photograph, share of the side, a camera may have the point that the rig looks at."""


@dataclass(frozen=True)
class Layout:
    """How a set names its files."""

    image: re.Pattern[str]
    """Of an image's path; groups: capture (what is calibrated together), subject, scene, camera, frame, and maybe
    day."""
    calibration: str
    """Calibration file below the capture's folder."""
    read: Callable[[str | Path], list[CalibratedCamera]]
    aside: tuple[str, ...]
    """Folders that hold other things than photographs."""
    example: str


_ENDING = r"\.(?:jpg|jpeg|png)"
LAYOUTS: Mapping[str, Layout] = {
    "nersemble": Layout(
        re.compile(
            r"(?P<capture>(?P<subject>[0-9]{1,9}))/sequences/(?P<scene>[^/]+)/images/"
            rf"cam_(?P<camera>[^/_]+)_(?P<frame>[0-9]{{1,9}}){_ENDING}",
            re.IGNORECASE,
        ),
        "calibration/camera_params.json",
        read_nersemble,
        ("alpha_maps", "landmark2d", "annotations"),
        "017/sequences/EXP-1-head/images/cam_222200037_00012.jpg",
    ),
    "multiface": Layout(
        re.compile(
            r"(?P<capture>m--(?P<day>[0-9]{8}--[0-9]{4})--(?P<subject>[0-9]{1,9})--[A-Z]+)/images/"
            rf"(?:(?P<scene>[^/]+)/)?(?P<camera>[^/]+)/(?P<frame>[0-9]{{1,9}}){_ENDING}",
            re.IGNORECASE,
        ),
        "KRT",
        read_krt,
        ("tracked_mesh", "unwrapped_uv_1024", "audio", "metadata"),
        "m--20180227--0000--6795937--GHS/images/E001_Neutral_Eyes_Open/400002/000150.png",
    ),
    "facescape": Layout(
        re.compile(
            r"(?P<capture>(?P<subject>[0-9]{1,9})/(?P<scene>[^/]+))/(?P<frame>)(?P<camera>[0-9]{1,9})" + _ENDING,
            re.IGNORECASE,
        ),
        "params.json",
        read_facescape,
        (),
        "122/1_neutral/4.jpg",
    ),
}
"""`source.layout` -> its files; paths as the sets' own documents give them."""


def calibration_file(path: str, layout: str) -> str:
    """Path of the calibration that an image's camera comes from, relative to the archive's root."""
    match = LAYOUTS[layout].image.fullmatch(path)
    if match is None:
        raise ValueError(f"{path}: no image of {layout}")
    return f"{match['capture']}/{LAYOUTS[layout].calibration}"


def read_image(path: str | Path) -> np.ndarray:
    """Decode an image of an archive in any layout to [H, W, 3] uint8 RGB; raises RejectedImage.

    A PNG's checksums are held against its data, as Multi-PIE's; a JPEG has none.
    """
    return decode_image(multipie.image_bytes(path, MAX_BYTES))


def decode_image(data: bytes) -> np.ndarray:
    """`read_image` of a file's content."""
    if data.startswith(b"\x89PNG"):
        return multipie.decode_image(data)
    try:
        return decode_photo(data)
    except NoPhoto as error:
        raise RejectedImage(f"broken image: {error}") from None


OTHERWISE: Mapping[str, Callable[[CalibratedCamera], CalibratedCamera]] = {
    "its cameras' y and z axes point up and backwards, as OpenGL's do": lambda camera: replace(
        camera, R=np.diag([1.0, -1, -1]) @ camera.R, t=camera.t * [1, -1, -1]
    ),
    "its poses lead from the camera to the world": lambda camera: replace(camera, R=camera.R.T, t=camera.centre),
}
"""What is often the matter with poses -> the cameras as they should be then."""


def rig_fault(cameras: list[CalibratedCamera]) -> str | None:
    """Why cameras do not look at one point before them; None where they do, or where one camera alone can tell
    nothing."""
    if len(cameras) < 2 or not (missing := _looking_elsewhere(cameras)):
        return None
    for cause, mended in OTHERWISE.items():
        if not _looking_elsewhere([mended(camera) for camera in cameras]):
            return f"its cameras do not look at one point, but would if {cause}; world to camera, OpenCV's, is expected"
    names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    return f"{len(missing)} of its {len(cameras)} cameras ({names}) do not look where the others do: R, t or K is wrong"


def _looking_elsewhere(cameras: list[CalibratedCamera]) -> list[str]:
    """Names of the cameras that have the point where most axes meet behind them or far outside their photograph."""
    middle = meeting_point(cameras)
    elsewhere = []
    for camera in cameras:
        (pixel,), (depth,) = camera.project(middle[None])
        assert camera.width is not None and camera.height is not None
        off = np.abs(pixel / [camera.width, camera.height] - 0.5)
        if depth <= 0 or off.max() > 0.5 + _MISSED:
            elsewhere.append(camera.name)
    return elsewhere
