"""Reading triplet shards for training: shuffled, in a fixed order per seed and epoch, from any position.

A shard is a Parquet file with one row a triplet (columns: `COLUMNS`). The order of an epoch is computed in advance
from the seed and the epoch alone, so that training can go on from any batch and a batch never depends on how many
threads read. Row groups are shuffled, and rows within runs of SHUFFLE_GROUPS of them, so that reading stays nearly
sequential.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from mfnet.datasets.plan import SLOTS
from mfnet.errors import InputError
from mfnet.geometry.conventions import VIEW_TO_OPENCV
from mfnet.io.images import NoPhoto, check_photo, to_float
from mfnet.model.rig import KnownCameras

COLUMNS = ["triplet", "subject", *(f"{name}_{slot}" for name in ("image", "landmarks", "yaw") for slot in SLOTS)]
CAMERA_COLUMNS = [f"{name}_{slot}" for name in ("K", "R", "t") for slot in SLOTS]
"""Columns besides of calibrated archives."""
SHUFFLE_GROUPS = 8
MAX_CROP = 2048
"""Pixels on a side of a crop at most."""
_MAX_GROUP = 1 << 30
_REMEDY = "run the stage `triplets` again"
_LENGTHS = {"landmarks": 136, "K": 9, "R": 9, "t": 3}
"""Numbers in a value of a column of lists, by the first part of its name."""
_KINDS: dict[str, Callable[[pa.DataType], bool]] = {
    "triplet": pa.types.is_integer,
    "subject": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    "image": lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind),
    "yaw": pa.types.is_floating,
    **dict.fromkeys(
        _LENGTHS,
        lambda kind: pa.types.is_nested(kind) and kind.num_fields == 1 and pa.types.is_floating(kind.field(0).type),
    ),
}
"""What a column's type must be, by the first part of its name."""
AHEAD = 3
"""Batches read ahead of the one in use."""


@dataclass(frozen=True)
class TripletBatch:
    """triplet, subject [B] int64; images [B, 3, 3, H, W] uint8 RGB in slot order; landmarks [B, 3, 68, 2] ndc of the
    crop; yaw [B, 3] nominal, degrees; cameras: those of the crops, of calibrated archives alone."""

    triplet: Tensor
    subject: Tensor
    images: Tensor
    landmarks: Tensor
    yaw: Tensor
    cameras: KnownCameras | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> "TripletBatch":
        """A new batch with `function` applied to every tensor."""
        values = [getattr(self, field.name) for field in fields(self) if field.name != "cameras"]
        cameras = None if self.cameras is None else self.cameras.map(function)
        return TripletBatch(*(function(value) for value in values), cameras)

    def to(self, device: torch.device) -> "TripletBatch":
        """The batch on `device`."""
        return self.map(lambda value: value.to(device, non_blocking=True))

    def pixels(self) -> Tensor:
        """The images as float32 in [0, 1], [B, 3, 3, H, W]."""
        return to_float(self.images)


class RowGroup(NamedTuple):
    """Where some triplets lie: index of the shard, of the row group in it, and how many rows it has."""

    shard: int
    index: int
    rows: int


class TripletShards:
    """The triplets of one split, read from its shards as they are needed."""

    def __init__(self, paths: Sequence[str | Path]) -> None:
        """Raises InputError where there is no shard, or one is unreadable, without rows or lacks a column."""
        if not paths:
            raise InputError("triplet shards: none found; run the stage `triplets` first")
        self.paths = [Path(path) for path in paths]
        self._shards = [_open(path) for path in self.paths]
        self._columns = _columns(self._shards[0])
        pairs = zip(self.paths, self._shards, strict=True)
        other = next((path for path, shard in pairs if _columns(shard) != self._columns), None)
        if other is not None:
            raise InputError(f"{other}: cameras are in some shards and not in others; {_REMEDY}")
        self._groups = [
            RowGroup(shard, index, file.metadata.row_group(index).num_rows)
            for shard, file in enumerate(self._shards)
            for index in range(file.num_row_groups)
        ]
        self._held: OrderedDict[int, pa.Table] = OrderedDict()

    @property
    def calibrated(self) -> bool:
        """Whether the triplets have cameras."""
        return self._columns != COLUMNS

    def __len__(self) -> int:
        return sum(group.rows for group in self._groups)

    def order(self, seed: int | None, epoch: int = 0) -> np.ndarray:
        """(row group, row) of every triplet in the epoch's order, [N, 2]; `seed` None keeps the order of the files."""
        groups = np.arange(len(self._groups))
        rng = None if seed is None else np.random.default_rng([seed, epoch])
        if rng is not None:
            rng.shuffle(groups)
        runs = []
        for first in range(0, len(groups), SHUFFLE_GROUPS):
            run = np.concatenate(
                [
                    np.stack([np.full(self._groups[group].rows, group), np.arange(self._groups[group].rows)], 1)
                    for group in groups[first : first + SHUFFLE_GROUPS]
                ]
            )
            runs.append(run if rng is None else rng.permutation(run))
        return np.concatenate(runs)

    def batches(self, rows: Sequence[np.ndarray], threads: int = 1) -> Iterator[TripletBatch]:
        """Read the batches whose (row group, row) pairs are given, in that order, AHEAD of their use.

        rows: one array [B, 2] per batch, as cut from `order`; threads: images decoded at once.
        """
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(threads) as decoders:
            waiting = iter(rows)
            pending = deque(reader.submit(self._read, batch, decoders) for batch in islice(waiting, AHEAD))
            while pending:
                batch = pending.popleft().result()
                pending.extend(reader.submit(self._read, following, decoders) for following in islice(waiting, 1))
                yield batch

    def _read(self, rows: np.ndarray, decoders: ThreadPoolExecutor) -> TripletBatch:
        table = pa.concat_tables([self._group(group).slice(row, 1) for group, row in rows.tolist()]).combine_chunks()
        triplets = table["triplet"].to_numpy()
        blobs = [
            (
                table[f"image_{slot}"][item],
                f"{self._where(rows[item, 0])}, row {rows[item, 1]} (triplet {triplets[item]}): image_{slot}",
            )
            for item in range(len(rows))
            for slot in SLOTS
        ]
        images = list(decoders.map(_decode, blobs))
        odd = next((i for i, image in enumerate(images) if image.shape != images[0].shape), None)
        if odd is not None:
            raise InputError(f"{blobs[odd][1]}: size differs from the others; run the stage `triplets` again")
        landmarks = [_numbers(table, f"landmarks_{slot}").reshape(len(rows), 68, 2) for slot in SLOTS]
        return TripletBatch(
            torch.tensor(triplets),
            torch.tensor([int(subject) for subject in table["subject"].to_pylist()]),
            torch.from_numpy(np.stack(images)).unflatten(0, (len(rows), len(SLOTS))).permute(0, 1, 4, 2, 3),
            torch.from_numpy(np.stack(landmarks, 1)),
            torch.from_numpy(np.stack([_numbers(table, f"yaw_{slot}") for slot in SLOTS], 1)),
            _cameras(table, images[0].shape[1]) if self.calibrated else None,
        )

    def _group(self, number: int) -> pa.Table:
        """A row group, kept until twice SHUFFLE_GROUPS others were read (a batch may straddle two runs)."""
        if number not in self._held:
            group = self._groups[number]
            self._held[number] = _read_group(self._shards[group.shard], group.index, self._columns, self._where(number))
            if len(self._held) > 2 * SHUFFLE_GROUPS:
                self._held.popitem(last=False)
        return self._held[number]

    def _where(self, number: int) -> str:
        group = self._groups[number]
        return f"{self.paths[group.shard]}: row group {group.index}"


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    """All numbers of a column (of numbers, or of lists of them) in a row, float32."""
    column = table[name].combine_chunks()
    values = column if pa.types.is_primitive(column.type) else column.flatten()
    return values.to_numpy(zero_copy_only=False).astype(np.float32)


def _cameras(table: pa.Table, size: int) -> KnownCameras:
    """The cameras of crops `size` px wide (`mfnet.datasets.shards.CALIBRATED_SCHEMA`)."""

    def stacked(name: str, *shape: int) -> np.ndarray:
        return np.stack([_numbers(table, f"{name}_{slot}").reshape(-1, *shape) for slot in SLOTS], 1)

    axes = VIEW_TO_OPENCV.astype(np.float32)
    K, R, t = stacked("K", 3, 3), stacked("R", 3, 3), stacked("t", 3)
    values = (K[..., 0, 0] * np.float32(2 / size), axes @ R, t @ axes)
    return KnownCameras(*(torch.from_numpy(np.ascontiguousarray(value)) for value in values))


def _columns(shard: pq.ParquetFile) -> list[str]:
    """The columns that are read of a shard: with cameras, where it has any."""
    return COLUMNS + [name for name in CAMERA_COLUMNS if name in shard.schema_arrow.names]


def _open(path: Path) -> pq.ParquetFile:
    try:
        shard = pq.ParquetFile(path, memory_map=True)
        schema = shard.schema_arrow
        wanted = COLUMNS + (CAMERA_COLUMNS if CAMERA_COLUMNS[0] in schema.names else [])
        missing = [name for name in wanted if name not in schema.names]
    except Exception as error:  # pyarrow raises many kinds for damaged files
        raise InputError(f"{path}: not a readable Parquet file: {' '.join(str(error).split())}") from None
    if missing:
        raise InputError(f"{path}: column {missing[0]} is missing; {_REMEDY}")
    if shard.metadata.num_rows == 0:
        raise InputError(f"{path}: no rows; {_REMEDY}")
    for name in wanted:
        if not _KINDS[name.partition("_")[0]](schema.field(name).type):
            raise InputError(f"{path}: column {name} is of type {schema.field(name).type}; {_REMEDY}")
    size = path.stat().st_size
    groups = [shard.metadata.row_group(index) for index in range(shard.num_row_groups)]
    for index, group in enumerate(groups):
        if not (0 <= group.num_rows <= size and 0 <= group.total_byte_size <= _MAX_GROUP):
            raise InputError(
                f"{path}: row group {index}: {group.num_rows} rows, {group.total_byte_size} bytes; {_REMEDY}"
            )
    return shard


def _read_group(shard: pq.ParquetFile, index: int, columns: list[str], where: str) -> pa.Table:
    """A row group whose values are all there and finite. Raises InputError, which names the row, for any other."""
    try:
        table = shard.read_row_group(index, columns=columns).combine_chunks()
        table.validate(full=True)  # offsets inside the data, text that is text
    except Exception as error:  # pyarrow raises many kinds for damaged pages
        raise InputError(f"{where}: damaged: {' '.join(str(error).split())[:200]}; {_REMEDY}") from None
    for name in columns:
        bad = _first_bad(table[name], name)
        if bad is not None:
            raise InputError(f"{where}, row {bad}: {name} is missing, of another length or not finite; {_REMEDY}")
    return table


def _first_bad(column: pa.ChunkedArray, name: str) -> int | None:
    """The first row whose value cannot be used; None where all can."""
    good = np.asarray(column.is_valid())
    kind = name.partition("_")[0]
    if kind == "subject":
        good = good & [str(value).isdecimal() and len(str(value)) < 10 for value in column.to_pylist()]
    elif kind == "yaw":
        good = good & np.isfinite(column.to_numpy())
    elif kind in _LENGTHS:
        lists = column.combine_chunks()
        # pyarrow makes its functions when it is imported
        lengths = pc.list_value_length(lists)  # pyright: ignore[reportAttributeAccessIssue]
        good = lengths.fill_null(0).to_numpy() == _LENGTHS[kind]
        if good.all():
            values = lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, _LENGTHS[kind])
            good = np.isfinite(values).all(1)
    wrong = np.flatnonzero(~good)
    return int(wrong[0]) if len(wrong) else None


def _decode(blob: tuple[pa.Scalar, str]) -> np.ndarray:
    """An encoded image -> RGB uint8 [H, W, 3]."""
    encoded, name = blob
    try:
        check_photo(encoded.as_py(), ("JPEG", "PNG"), MAX_CROP**2)
    except NoPhoto as error:
        raise InputError(f"{name}: {error}; {_REMEDY}") from None
    image = cv2.imdecode(np.frombuffer(encoded.as_buffer(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{name}: not a readable image; {_REMEDY}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
