"""Detect the landmarks of every image that the plan names, chunk by chunk; a killed run goes on with the next chunk.

Each chunk's result is a file in a scratch folder, named by a hash of all it depends on: its images by path and
checksum, the backend with its weights, and the code. A later run reads the files that are there. The caller removes the
folder once it has written the tables.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mfnet.compute.executor import SERIAL, Compute
from mfnet.datasets import multipie
from mfnet.datasets.plan import SLOTS
from mfnet.errors import InputError
from mfnet.io.code import code_hash
from mfnet.io.files import write_table
from mfnet.landmarks.backends import Detection, LandmarkBackend
from mfnet.landmarks.ibug import N_LANDMARKS
from mfnet.params import LandmarkParams

GRID = 64
"""Landmarks are rounded to 1/GRID px, far below their error: the last bits of a convolution rarely reach a table."""


@dataclass(frozen=True)
class DetectTask:
    """What the detection of every chunk needs."""

    root: str
    backend: LandmarkBackend
    scratch: str
    key: str


def find_landmarks(
    plan: pd.DataFrame,
    root: str | Path,
    backend: LandmarkBackend,
    params: LandmarkParams,
    scratch: str | Path,
    compute: Compute = SERIAL,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(landmarks, rejected) of the images in `plan`, ordered by path.

    landmarks: path, landmarks (136 float32: x, y of 68 points, image px), score (mean, [0, 1]), backend, fingerprint
    (of its weights).
    rejected: path, reason: a file that cannot be decoded, no face, a score below ``params.min_score``, points that are
    not finite or lie outside the image.

    Raises InputError where the backend cannot work at all, or not one image passes.
    """
    images = planned_images(plan)
    rows = list(images.itertuples(index=False, name=None))
    chunks = [rows[start : start + params.chunk] for start in range(0, len(rows), params.chunk)]
    fingerprint = backend.fingerprint()
    task = DetectTask(str(root), backend, str(scratch), f"{code_hash()} {backend!r} {fingerprint}")
    files = compute.map(_Chunk(task), chunks, f"landmarks ({backend.name})")
    parts = [pd.read_parquet(file) for file in files]
    table = pd.concat(parts, ignore_index=True)
    weak = table["reason"].isna() & (table["score"] < params.min_score)
    table.loc[weak, "reason"] = [f"no face: score {score:.2f}" for score in table.loc[weak, "score"]]
    good = table["reason"].isna()
    if not np.any(good):
        reasons = ", ".join(f"{n} x {reason}" for reason, n in table["reason"].value_counts().head(3).items())
        raise InputError(f"{root}: no landmarks in any of the {len(table)} planned images ({reasons})")
    found = table.loc[good, ["path", "landmarks", "score"]].reset_index(drop=True)
    found["backend"] = pd.Series(backend.name, index=found.index, dtype="str")
    found["fingerprint"] = pd.Series(fingerprint, index=found.index, dtype="str")
    return found, table.loc[~good, ["path", "reason"]].astype("str").reset_index(drop=True)


def planned_images(plan: pd.DataFrame) -> pd.DataFrame:
    """Every image of a plan once: path, checksum, ordered by path."""
    slots = [plan.loc[:, [slot, f"checksum_{slot}"]].set_axis(["path", "checksum"], axis=1) for slot in SLOTS]
    return pd.concat(slots).drop_duplicates("path").sort_values("path", ignore_index=True)


@dataclass(frozen=True)
class _Chunk:
    """The unit of work: a list of (path, checksum) -> the file with their landmarks."""

    task: DetectTask

    def __call__(self, images: list[tuple[str, str]]) -> str:
        name = hashlib.sha256(f"{self.task.key} {images}".encode()).hexdigest()[:32]
        file = Path(self.task.scratch, f"{name}.parquet")
        if not file.exists():
            from mfnet.compute.compiled import one_thread  # torch, which listing files does not need

            with one_thread():
                write_table(detect_images([path for path, _ in images], self.task.root, self.task.backend), file)
        return str(file)


def detect_images(paths: list[str], root: str, backend: LandmarkBackend) -> pd.DataFrame:
    """One row an image: path, landmarks (136 float32 or null), score, reason (null where landmarks are good)."""
    found: dict[str, Detection] = {}
    images: dict[str, np.ndarray] = {}
    for path in paths:
        try:
            images[path] = multipie.read_image(os.path.join(root, path))
        except multipie.RejectedImage as error:
            found[path] = Detection(None, 0.0, str(error))
    for path, detection in zip(
        images, backend.detect(list(images), list(images.values())) if images else [], strict=True
    ):
        found[path] = _checked(detection, images[path])
    return pd.DataFrame(
        {
            "path": paths,
            "landmarks": [None if (points := found[p].landmarks) is None else points.ravel() for p in paths],
            "score": [found[p].score for p in paths],
            "reason": pd.array([found[p].reason for p in paths], dtype="str"),
        }
    )


def _checked(detection: Detection, image: np.ndarray) -> Detection:
    """The detection on the 1/GRID px grid, or a reason why it cannot be a face."""
    if detection.reason is not None:
        return detection
    landmarks, score = detection.landmarks, round(detection.score, 4)
    assert landmarks is not None  # a backend gives landmarks or a reason
    if landmarks.shape != (N_LANDMARKS, 2) or not np.isfinite(landmarks).all():
        return Detection(None, 0.0, "landmarks are not finite")
    centre = (landmarks.min(0) + landmarks.max(0)) / 2
    height, width = image.shape[:2]
    if not (0 <= centre[0] <= width and 0 <= centre[1] <= height) or np.ptp(landmarks, axis=0).max() < 1:
        return Detection(None, score, "no face: landmarks outside the image or in one point")
    return Detection((np.round(landmarks * GRID) / GRID).astype(np.float32), score)
