"""The cameras of calibrated archives as columns of manifests and plans."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mfnet.io.cameras import CalibratedCamera

CALIBRATION = ("K", "R", "t", "distortion", "unit", "width", "height")
"""Columns of a manifest that say how an image was taken: K (9 numbers, px), R (9), t (3; metres, or the world's own
unit), distortion (5), unit (``m`` or ``arbitrary``), and the photograph's size, px."""
MAX_ELEVATION = 30.0
"""Degrees above or below the camera before the face beyond which a camera is in no triplet."""
ARBITRARY = "arbitrary"


def camera_columns(camera: CalibratedCamera) -> dict[str, Any]:
    """A camera as columns of a manifest (CALIBRATION, without the size)."""
    return {
        "K": camera.K.ravel().tolist(),
        "R": camera.R.ravel().tolist(),
        "t": camera.t.tolist(),
        "distortion": camera.distortion.tolist(),
        "unit": camera.unit or ARBITRARY,
    }


def camera_of(row: Mapping[Any, Any], suffix: str = "") -> CalibratedCamera:
    """The camera of a row of a manifest or, with the slot as `suffix` (``_left``), of a plan."""
    values = {name: row[f"{name}{suffix}"] for name in CALIBRATION}
    K, R, t, distortion = (np.asarray(values[name], np.float64) for name in ("K", "R", "t", "distortion"))
    return CalibratedCamera(
        str(row.get(f"camera{suffix}", "")),
        K.reshape(3, 3),
        R.reshape(3, 3),
        t,
        int(values["width"]),
        int(values["height"]),
        "m" if values["unit"] == "m" else None,
        distortion,
    )


def is_calibrated(table: pd.DataFrame) -> bool:
    """Whether a manifest or a plan is that of a calibrated archive."""
    return "K" in table or "K_frontal" in table
