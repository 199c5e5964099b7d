"""The true parameters behind the synthetic photographs: read by tests and warm starts, never by ``train``."""

from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from mfnet.io.files import write_table

COLUMNS = (
    "path",
    "subject",
    "shape",
    "expression",
    "jaw_pose",
    "global_pose",
    "intrinsics",
    "translation",
    "camera",
)
"""One row an image. With v = flame(shape, expression, global_pose, jaw_pose).vertices in view axes, metres:

- perspective: pixel = K (diag(1, -1, -1) v + translation), K = `intrinsics` [9] row by row; `camera` is null
- orthographic: ndc = s (v_xy + t), (s, tx, ty) = `camera` [3]; `intrinsics` and `translation` are null

`path` is relative to the folder of the truth file.
"""


def perspective_truth(path, subject, shape, expression, jaw_pose, global_pose, intrinsics, translation) -> dict:
    """A row for a pinhole camera; tensors [1, n] or [n]."""
    row = _person(path, subject, shape, expression, jaw_pose, global_pose)
    return row | {"intrinsics": _floats(intrinsics), "translation": _floats(translation), "camera": None}


def orthographic_truth(path, subject, shape, expression, jaw_pose, global_pose, camera) -> dict:
    """A row for a scaled orthography; tensors [1, n] or [n]."""
    row = _person(path, subject, shape, expression, jaw_pose, global_pose)
    return row | {"intrinsics": None, "translation": None, "camera": _floats(camera)}


def write_truth(rows: list[dict], path: str | Path) -> None:
    """Write truth.parquet, ordered by path."""
    write_table(pd.DataFrame(sorted(rows, key=lambda row: row["path"]), columns=list(COLUMNS)), path)


def _person(path, subject, shape, expression, jaw_pose, global_pose) -> dict:
    fields = {"shape": shape, "expression": expression, "jaw_pose": jaw_pose, "global_pose": global_pose}
    return {"path": path, "subject": subject} | {name: _floats(value) for name, value in fields.items()}


def _floats(value: Tensor | np.ndarray) -> list[float]:
    return np.asarray(value, dtype=np.float64).reshape(-1).tolist()
