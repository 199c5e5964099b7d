"""The true parameters behind the synthetic photographs: read by tests and warm starts, never by ``train``."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from mfnet.io.files import write_table

COLUMNS = (
    "path",
    "subject",
    "attributes",
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

`path` is relative to the folder of the truth file; `attributes` are what the head's population names (age, male,
ancestry), null for a head without one.
"""


Values = Tensor | np.ndarray | list[float]


class TruePerson(NamedTuple):
    """What all photographs of a person with one expression share; values [1, n] or [n]."""

    subject: str
    attributes: dict[str, float]
    shape: Values
    expression: Values
    jaw_pose: Values


def perspective_truth(
    path: str, person: TruePerson, global_pose: Values, intrinsics: Values, translation: Values
) -> dict:
    """A row for a pinhole camera."""
    row = _pose(path, person, global_pose)
    return row | {"intrinsics": _floats(intrinsics), "translation": _floats(translation), "camera": None}


def orthographic_truth(path: str, person: TruePerson, global_pose: Values, camera: Values) -> dict:
    """A row for a scaled orthography."""
    row = _pose(path, person, global_pose)
    return row | {"intrinsics": None, "translation": None, "camera": _floats(camera)}


def write_truth(rows: list[dict], path: str | Path) -> None:
    """Write truth.parquet, ordered by path."""
    write_table(pd.DataFrame(sorted(rows, key=lambda row: row["path"]), columns=list(COLUMNS)), path)


def _pose(path: str, person: TruePerson, global_pose: Values) -> dict:
    """The part of a row that does not depend on the kind of camera."""
    row = {"path": path, "subject": person.subject, "attributes": person.attributes or None}
    numbers = {"shape": person.shape, "expression": person.expression, "jaw_pose": person.jaw_pose}
    return row | {name: _floats(value) for name, value in (numbers | {"global_pose": global_pose}).items()}


def _floats(value: Values) -> list[float]:
    return np.asarray(value, dtype=np.float64).reshape(-1).tolist()
