"""Writing triplets: three landmark crops a row, in Parquet shards. Equal inputs give equal bytes, however made.

Images are encoded already, so that image columns take neither compression nor dictionaries; row groups are the unit of
shuffled reading (`mfnet.datasets.triplets`).
"""

import contextlib
import logging
import os
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mfnet.compute.executor import SERIAL, Compute
from mfnet.datasets.calibrated import read_image
from mfnet.datasets.cameras import camera_of, is_calibrated
from mfnet.datasets.multipie import RejectedImage
from mfnet.datasets.plan import SLOTS
from mfnet.errors import InputError
from mfnet.geometry.crops import CropBox, FaceCrop, crop_box, cut_face
from mfnet.geometry.turned import cut_turned_face
from mfnet.params import TripletParams

SCHEMA = pa.schema(
    [("triplet", pa.int64()), ("subject", pa.string()), ("session", pa.int64()), ("recording", pa.int64())]
    + [("expression", pa.string())]
    + [(f"image_{slot}", pa.binary()) for slot in SLOTS]
    + [(f"checksum_{slot}", pa.uint32()) for slot in SLOTS]
    + [(f"landmarks_{slot}", pa.list_(pa.float32(), 136)) for slot in SLOTS]
    + [(f"yaw_{slot}", pa.float32()) for slot in SLOTS]
    + [(f"matrix_{slot}", pa.list_(pa.float32(), 9)) for slot in SLOTS]
    + [(f"path_{slot}", pa.string()) for slot in SLOTS]
)
"""One row a triplet. Per slot: the crop (JPEG or PNG), its CRC-32, 68 landmarks in ndc of the crop, nominal yaw
(degrees), the matrix from photograph to crop pixels (row by row) and the photograph's path."""

CALIBRATED_SCHEMA = pa.schema(
    [
        *SCHEMA,
        *(pa.field(f"K_{slot}", pa.list_(pa.float32(), 9)) for slot in SLOTS),
        *(pa.field(f"R_{slot}", pa.list_(pa.float32(), 9)) for slot in SLOTS),
        *(pa.field(f"t_{slot}", pa.list_(pa.float32(), 3)) for slot in SLOTS),
    ]
)
"""Of calibrated archives. Per slot besides: the pinhole camera that the crop is the picture of (K in its pixels, R and
t from the world, metres; row by row). The matrix is a homography then, from the undistorted photograph."""

log = logging.getLogger(__name__)

_CHUNK = 32  # triplets per unit of work


@dataclass(frozen=True)
class CropSpec:
    """Everything about a crop that is the same for all: the archive's root, the params, the seed of the jitter."""

    root: str
    params: TripletParams
    seed: int


def write_shards(
    plan: pd.DataFrame,
    landmarks: pd.DataFrame,
    spec: CropSpec,
    folder: str | Path,
    compute: Compute = SERIAL,
) -> pd.DataFrame:
    """Crop and encode the planned triplets into ``folder/{train,val}-NNNNN.parquet`` (columns: SCHEMA, or
    CALIBRATED_SCHEMA for a plan with cameras).

    Of a plan with a reserve, a triplet that is lost is replaced (`_replacement`), and so is one of the reserve that is
    lost in its turn: as many are written as are planned, until the reserve is used up, which is a line on stderr.

    `folder` is there and empty. Returns the rejected triplets: triplet, split, reason.
    Raises InputError where a split of the plan loses all its triplets.
    """
    calibrated = is_calibrated(plan)
    points = dict(zip(landmarks["path"], landmarks["landmarks"], strict=True))
    units = dict(zip(landmarks["path"], landmarks["unit"], strict=True)) if calibrated else None
    tasks = {row["triplet"]: _task(row, points, units) for row in plan.to_dict("records")}
    spare = {number: task for number, task in tasks.items() if task.get("reserve", False)}
    waiting = [task for number, task in tasks.items() if number not in spare]
    wanted, reserve = len(waiting), len(spare)
    schema = CALIBRATED_SCHEMA if calibrated else SCHEMA
    splits = {split: _Shards(Path(folder), split, spec.params, schema) for split in sorted(plan["split"].unique())}
    rejected = []
    with contextlib.ExitStack() as stack:
        for shards in splits.values():
            stack.callback(shards.close)
        while waiting:
            lost = []
            chunks = [waiting[start : start + _CHUNK] for start in range(0, len(waiting), _CHUNK)]
            for part in compute.map(partial(make_rows, spec), chunks, "triplets"):
                for triplet, split, row in part:
                    if isinstance(row, str):
                        rejected.append((triplet, split, row))
                        lost.append(tasks[triplet])
                    else:
                        splits[split].add(row)
            waiting = []
            for task in lost:
                number = _replacement(task, spare)
                if number is not None:
                    waiting.append(spare.pop(number))
    written = sum(shards.rows for shards in splits.values())
    if written < wanted:
        log.warning(
            "triplets: %d of %d planned: %d were lost (%s), and the reserve of %d is used up; raise plan.reserve",
            *(written, wanted, len(rejected), _commonest(rejected), reserve),
        )
    for split, shards in splits.items():
        if not shards.rows:
            reasons = [reason for _, its_split, reason in rejected if its_split == split]
            first = reasons[0] if reasons else "none was planned"
            raise InputError(f"data/triplets: no {split} triplet is left of those planned; the first: {first}")
    table = pd.DataFrame(rejected, columns=["triplet", "split", "reason"])
    return table.astype({"triplet": "int64", "split": "str", "reason": "str"})


def _replacement(lost: dict, spare: dict[int, dict]) -> int | None:
    """Number of the triplet of the reserve that takes a lost one's place: the first one that is most like it in subject
    and expression, then in split; None where the reserve is used up."""

    def unlike(number: int) -> tuple[bool, bool, bool]:
        return tuple(spare[number][key] != lost[key] for key in ("split", "subject", "expression"))

    return min(spare, key=unlike, default=None)


def _commonest(rejected: list[tuple[int, str, str]]) -> str:
    reasons = Counter(reason.split(":")[0] for _, _, reason in rejected)
    return ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))


def _task(row: dict, points: dict[str, np.ndarray], units: dict[str, float] | None) -> dict:
    """A row of the plan with its landmarks [68, 2] (px) under ``points_s``, None where the image has none.

    units: length in metres of the unit of each image's camera; with it the camera, in metres, stands under
    ``camera_s``.
    """
    for slot in SLOTS:
        flat = points.get(row[slot])
        row[f"points_{slot}"] = None if flat is None else np.asarray(flat, np.float64).reshape(-1, 2)
        if units is not None and flat is not None:
            row[f"camera_{slot}"] = camera_of(row, f"_{slot}").in_metres(units[row[slot]])
    return row


class _Shards:
    """The shards of one split: rows are gathered into full row groups, row groups into full files."""

    def __init__(self, folder: Path, split: str, params: TripletParams, schema: pa.Schema) -> None:
        self.folder, self.split, self.params, self.schema = folder, split, params, schema
        self.rows = 0
        self._group: list[dict] = []
        self._writer: pq.ParquetWriter | None = None

    def add(self, row: dict) -> None:
        self._group.append(row)
        self.rows += 1
        if self.rows % self.params.rows_per_shard == 0:
            self.close()
        elif len(self._group) == self.params.rows_per_group:
            self._flush()

    def close(self) -> None:
        """Write what is gathered and end the file."""
        self._flush()
        if self._writer:
            self._writer.close()
            self._writer = None

    def _flush(self) -> None:
        if not self._group:
            return
        if self._writer is None:
            number = (self.rows - 1) // self.params.rows_per_shard
            path = self.folder / f"{self.split}-{number:05d}.parquet"
            self._writer = pq.ParquetWriter(path, self.schema, compression="none", use_dictionary=False)
        self._writer.write_table(pa.Table.from_pylist(self._group, self.schema))
        self._group = []


def make_rows(spec: CropSpec, tasks: list[dict]) -> list[tuple[int, str, dict | str]]:
    """(triplet, split, row of SCHEMA or reason why there is none) of each planned triplet."""
    made = []
    for task in tasks:
        try:
            made.append((task["triplet"], task["split"], _row(task, spec)))
        except RejectedImage as error:
            made.append((task["triplet"], task["split"], str(error)))
    return made


def _row(task: dict, spec: CropSpec) -> dict:
    row = {name: task[name] for name in ("triplet", "subject", "session", "recording", "expression")}
    for index, slot in enumerate(SLOTS):
        path, points = task[slot], task[f"points_{slot}"]
        if points is None:
            raise RejectedImage(f"{slot} view without landmarks: {path}")
        try:
            image = read_image(os.path.join(spec.root, path))
            crop = _crop(image, points, task, index, spec, row)
        except (RejectedImage, InputError) as error:
            raise RejectedImage(f"{slot} view: {error}: {path}") from None
        encoded = encode(crop.image, spec.params.jpeg_quality)
        row[f"image_{slot}"], row[f"checksum_{slot}"] = encoded, zlib.crc32(encoded)
        row[f"landmarks_{slot}"] = crop.landmarks.astype(np.float32).ravel()
        row[f"yaw_{slot}"] = task[f"yaw_{slot}"]
        row[f"matrix_{slot}"] = crop.matrix.astype(np.float32).ravel()
        row[f"path_{slot}"] = path
    return row


def _crop(image: np.ndarray, points: np.ndarray, task: dict, index: int, spec: CropSpec, row: dict) -> FaceCrop:
    """The crop of one view; that of a calibrated camera's adds the camera of the crop to `row`."""
    size, scale, slot = spec.params.image_size, spec.params.crop_scale, SLOTS[index]
    if f"K_{slot}" not in task:
        return cut_face(image, points, jitter(crop_box(points, scale), spec, task["triplet"], index), size)
    camera = task[f"camera_{slot}"]
    height, width = image.shape[:2]
    if (width, height) != (camera.width, camera.height):
        raise RejectedImage(f"{width} x {height} px, but its camera's K is for {camera.width} x {camera.height}")
    image, points = camera.straightened(image), camera.undistorted(points)
    box = jitter(crop_box(points, scale), spec, task["triplet"], index)
    crop, turned = cut_turned_face(image, points, box, size, camera)
    for name in ("K", "R", "t"):
        row[f"{name}_{slot}"] = getattr(turned, name).astype(np.float32).ravel()
    return crop


def jitter(box: CropBox, spec: CropSpec, triplet: int, view: int) -> CropBox:
    """The box shifted and scaled by up to ``crop_jitter`` of its side, drawn from (seed, triplet, view)."""
    amount = spec.params.crop_jitter
    x, y, scale = np.random.default_rng([spec.seed, triplet, view]).uniform(-amount, amount, 3)
    return CropBox(box.centre_x + x * box.side, box.centre_y + y * box.side, box.side * (1 + scale))


def encode(image: np.ndarray, quality: int) -> bytes:
    """RGB uint8 [H, W, 3] -> JPEG of the given quality without chroma subsampling, or PNG for quality 0."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if quality == 0:
        return cv2.imencode(".png", bgr)[1].tobytes()
    chroma = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality, *chroma])[1].tobytes()
