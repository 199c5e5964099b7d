"""Detect the landmarks of every image that the plan names. What was found once is not looked for again.

Results are kept by image in a folder: under a hash of the image's checksum, of what gives the landmarks (weights, or
the file they are read from), of the second look's weights and of the code that runs. So a killed run goes on where it
was, and of a changed plan only new or changed images are looked at. Every chunk's results are a file, written beside
and renamed; once all are there they are gathered into one. What lies in the folder can be thrown away at any time.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from mfnet.compute.executor import SERIAL, Compute
from mfnet.datasets.calibrated import read_image
from mfnet.datasets.multipie import RejectedImage
from mfnet.datasets.plan import SLOTS
from mfnet.errors import InputError
from mfnet.io.code import code_hash
from mfnet.io.files import file_hash, read_table, write_table
from mfnet.landmarks.backends import Detection, LandmarkBackend, embedded_detector
from mfnet.landmarks.ibug import N_LANDMARKS
from mfnet.params import LandmarkParams

GRID = 64
"""Landmarks are rounded to 1/GRID px, far below their error: the last bits of a convolution rarely reach a table."""
MOST_KEPT = 400_000
"""Results that stay in the folder, of the newest plans: four full Multi-PIE plans, some 300 MiB."""
_CODE = ("landmarks", "geometry", "io", "datasets/multipie.py", "datasets/calibrated.py")
_DETECTED = ["landmarks", "score", "scores", "box", "look_distance", "look_score", "reason", "decoded"]


@dataclass(frozen=True)
class DetectTask:
    """What the detection of every chunk needs."""

    root: str
    backend: LandmarkBackend
    kept: str
    """Folder of the results."""
    witness: str | None
    """Weights of the embedded network that looks again; None: it is not asked."""


class Folders(NamedTuple):
    """Where the images are, and what is known of them."""

    root: str | Path
    """Of the image archive."""
    kept: str | Path
    """Of results by image, kept from one run to the next."""


def find_landmarks(
    plan: pd.DataFrame,
    folders: Folders,
    backend: LandmarkBackend,
    params: LandmarkParams,
    compute: Compute = SERIAL,
    network: str | Path | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(landmarks, rejected) of the images in `plan`, ordered by path, before any gate but the score.

    network: the embedded network's weights, for ``params.gates.second_look``.

    landmarks: path, landmarks (136 float32: x, y of 68 points, image px), score (mean, [0, 1]), scores (68), box (left,
    top, right, bottom, px, or null), detector (what found the box), backend, version (of it and its package), weights
    (hash of what gave the landmarks), look_distance and look_score (`LandmarkDetector.look_again`; NaN: not asked).
    rejected: path, reason: a file that cannot be decoded, no face, a score below ``params.min_score``, points that are
    not finite or lie outside the image.

    Raises InputError where the backend cannot work at all, or not one image passes.
    """
    images = planned_images(plan)
    witness = None if params.gates.second_look is None or network is None else str(network)
    task = DetectTask(str(folders.root), backend, str(folders.kept), witness)
    images["source"] = [backend.source(path) for path in images["path"]]
    table = _detected(images.assign(key=_keys(images, task)), task, params.chunk, compute)
    weak = table["reason"].isna() & (table["score"] < params.min_score)
    table.loc[weak, "reason"] = [f"no face: score {score:.2f}" for score in table.loc[weak, "score"]]
    good = table["reason"].isna()
    if not np.any(good):
        reasons = ", ".join(f"{n} x {reason}" for reason, n in table["reason"].value_counts().head(3).items())
        raise InputError(f"{folders.root}: no landmarks in any of the {len(table)} planned images ({reasons})")
    found = table.loc[good, ["path", *_DETECTED[:6]]].reset_index(drop=True)
    for name, value in (("detector", backend.detector), ("backend", backend.name), ("version", backend.version())):
        found[name] = pd.Series(value, index=found.index, dtype="str")
    found["weights"] = table.loc[good, "source"].astype("str").to_numpy()
    return found, table.loc[~good, ["path", "reason"]].astype("str").reset_index(drop=True)


def planned_images(plan: pd.DataFrame) -> pd.DataFrame:
    """Every image of a plan once: path, checksum, ordered by path."""
    slots = [plan.loc[:, [slot, f"checksum_{slot}"]].set_axis(["path", "checksum"], axis=1) for slot in SLOTS]
    return pd.concat(slots).drop_duplicates("path").sort_values("path", ignore_index=True)


def _keys(images: pd.DataFrame, task: DetectTask) -> list[str]:
    """Name of each image's result: a hash of all that it depends on."""
    witness = "" if task.witness is None else file_hash(task.witness)
    common = f"{code_hash(*_CODE)} {task.backend.name} {task.backend.fingerprint()} {witness}"
    rows = zip(images["source"], images["checksum"], strict=True)
    return [hashlib.sha256(f"{common} {source} {checksum}".encode()).hexdigest()[:32] for source, checksum in rows]


# ------------------------------------------------------------------------------------------------------ kept results
def _detected(images: pd.DataFrame, task: DetectTask, chunk: int, compute: Compute) -> pd.DataFrame:
    """`images` (path, checksum, source, key) with the columns of `_DETECTED`, from the folder or found now."""
    before = _read_kept(task.kept)
    missing = images.loc[~images["key"].isin(before["key"]), ["path", "key"]]
    rows = list(missing.itertuples(index=False, name=None))
    chunks = [rows[start : start + chunk] for start in range(0, len(rows), chunk)]
    files = list(compute.map(_Chunk(task), chunks, f"landmarks ({task.backend.name})"))
    parts = [read_table(file) for file in files] + [before] * (not before.empty)  # an empty one has no types to keep
    known = pd.concat(parts or [before], ignore_index=True).drop_duplicates("key")
    _gather(known, cast(pd.Series, images["key"]), task.kept, files)
    return images.merge(known, on="key", how="left", validate="many_to_one")


def _read_kept(folder: str) -> pd.DataFrame:
    """All results in the folder. A file that cannot be read is one that is not there."""
    parts = [pd.DataFrame(columns=["key", *_DETECTED])]
    for file in sorted(Path(folder).glob("*.parquet")):
        try:
            parts.append(read_table(file, ["key", *_DETECTED]))
        except InputError:
            file.unlink()
    table = pd.concat(parts[1:] or parts, ignore_index=True).drop_duplicates("key", ignore_index=True)
    return table.loc[table["decoded"].astype(bool)]  # a broken file may be mended under the checksum at its end


def _gather(known: pd.DataFrame, used: pd.Series, folder: str, new: list[str]) -> None:
    """Put all results into one file, those of this plan first, if there are new ones."""
    if not new:
        return
    first = known["key"].isin(used)
    ordered = pd.concat([known.loc[first], known.loc[~first]]).head(MOST_KEPT)
    old = set(Path(folder).glob("*.parquet"))
    gathered = Path(folder, f"{hashlib.sha256(''.join(ordered['key']).encode()).hexdigest()[:32]}.parquet")
    write_table(ordered, gathered)
    for file in old - {gathered}:
        file.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Chunk:
    """The unit of work: a list of (path, key) -> the file with their results."""

    task: DetectTask

    def __call__(self, images: list[tuple[str, str]]) -> str:
        name = hashlib.sha256("".join(key for _, key in images).encode()).hexdigest()[:32]
        file = Path(self.task.kept, f"{name}.parquet")
        if not file.exists():  # an item may run twice where a worker dies
            from mfnet.compute.compiled import one_thread  # torch, which listing files does not need

            with one_thread():
                table = detect_images([path for path, _ in images], self.task)
            table.insert(0, "key", [key for _, key in images])
            write_table(table, file)
        return str(file)


# --------------------------------------------------------------------------------------------------------- detection
def detect_images(paths: list[str], task: DetectTask) -> pd.DataFrame:
    """One row an image: landmarks (136 float32 or null), score, scores (68), box, the second look, reason (null where
    landmarks are good), decoded (whether it is an image at all)."""
    found: dict[str, Detection] = {}
    images: dict[str, np.ndarray] = {}
    for path in paths:
        try:
            images[path] = read_image(os.path.join(task.root, path))
        except RejectedImage as error:
            found[path] = Detection(None, 0.0, str(error))
    detections = task.backend.detect(list(images), list(images.values())) if images else []
    for path, detection in zip(images, detections, strict=True):
        found[path] = _checked(detection, images[path])
    looks = dict(_second_looks(images, found, task.witness))
    rows = [found[path] for path in paths]
    return pd.DataFrame(
        {
            "landmarks": [None if row.landmarks is None else row.landmarks.ravel() for row in rows],
            "score": [row.score for row in rows],
            "scores": [row.scores for row in rows],
            "box": [row.box for row in rows],
            "look_distance": [looks[path][0] if path in looks else np.nan for path in paths],
            "look_score": [looks[path][1] if path in looks else np.nan for path in paths],
            "reason": pd.array([row.reason for row in rows], dtype="str"),
            "decoded": [path in images for path in paths],
        }
    )


def _second_looks(
    images: dict[str, np.ndarray], found: dict[str, Detection], witness: str | None
) -> Iterator[tuple[str, tuple[float, float]]]:
    """(path, (distance, score)) of every image with landmarks, as the embedded network sees them."""
    points = {path: points for path in images if (points := found[path].landmarks) is not None}
    if witness is None or not points:
        return
    looked = embedded_detector(witness).look_again([images[path] for path in points], np.stack(list(points.values())))
    for path, distance, score in zip(points, *looked, strict=True):
        yield path, (round(float(distance), 4), round(float(score), 4))


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
    scores = np.full(N_LANDMARKS, score) if detection.scores is None else detection.scores
    return Detection(
        _on_grid(landmarks),
        score,
        scores=np.round(scores, 4).astype(np.float32),
        box=None if detection.box is None else _on_grid(detection.box),
    )


def _on_grid(pixels: np.ndarray) -> np.ndarray:
    return (np.round(np.asarray(pixels, np.float64) * GRID) / GRID).astype(np.float32)
