"""Reading triplet shards for training: shuffled, in a fixed order per seed and epoch, from any position.

A shard is a Parquet file with one row a triplet (columns: `COLUMNS`). The order of an epoch is computed in advance
from the seed and the epoch alone, so that training can go on from any batch and a batch never depends on how many
threads read. Row groups are shuffled, and rows within runs of SHUFFLE_GROUPS of them, so that reading stays nearly
sequential.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from mfnet.datasets.plan import SLOTS
from mfnet.errors import InputError
from mfnet.io.images import to_float

COLUMNS = ["triplet", "subject", *(f"{name}_{slot}" for name in ("image", "landmarks", "yaw") for slot in SLOTS)]
SHUFFLE_GROUPS = 8
AHEAD = 3
"""Batches read ahead of the one in use."""


@dataclass(frozen=True)
class TripletBatch:
    """triplet, subject [B] int64; images [B, 3, 3, H, W] uint8 RGB in slot order; landmarks [B, 3, 68, 2] ndc of the
    crop; yaw [B, 3] nominal, degrees."""

    triplet: Tensor
    subject: Tensor
    images: Tensor
    landmarks: Tensor
    yaw: Tensor

    def to(self, device: torch.device) -> "TripletBatch":
        """The batch on `device`."""
        return TripletBatch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))

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
        self._groups = [
            RowGroup(shard, index, file.metadata.row_group(index).num_rows)
            for shard, file in enumerate(self._shards)
            for index in range(file.num_row_groups)
        ]
        self._held: OrderedDict[int, pa.Table] = OrderedDict()

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
            (table[f"image_{slot}"][item], self._named(rows[item, 0], triplets[item], slot))
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
        )

    def _group(self, number: int) -> pa.Table:
        """A row group, kept until twice SHUFFLE_GROUPS others were read (a batch may straddle two runs)."""
        if number not in self._held:
            group = self._groups[number]
            table = self._shards[group.shard].read_row_group(group.index, columns=COLUMNS)
            self._held[number] = table.combine_chunks()
            if len(self._held) > 2 * SHUFFLE_GROUPS:
                self._held.popitem(last=False)
        return self._held[number]

    def _named(self, group: int, triplet: int, slot: str) -> str:
        return f"{self.paths[self._groups[group].shard]}: triplet {triplet}, image_{slot}"


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    """All numbers of a column (of numbers, or of lists of them) in a row, float32."""
    column = table[name].combine_chunks()
    values = column if pa.types.is_primitive(column.type) else column.flatten()
    return values.to_numpy(zero_copy_only=False).astype(np.float32)


def _open(path: Path) -> pq.ParquetFile:
    try:
        shard = pq.ParquetFile(path, memory_map=True)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: not a readable Parquet file: {' '.join(str(error).split())}") from None
    missing = [name for name in COLUMNS if name not in shard.schema_arrow.names]
    if missing:
        raise InputError(f"{path}: column {missing[0]} is missing; run the stage `triplets` again")
    if shard.metadata.num_rows == 0:
        raise InputError(f"{path}: no rows; run the stage `triplets` again")
    return shard


def _decode(blob: tuple[pa.Scalar, str]) -> np.ndarray:
    """An encoded image -> RGB uint8 [H, W, 3]."""
    encoded, name = blob
    image = cv2.imdecode(np.frombuffer(encoded.as_buffer(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{name}: not an image; run the stage `triplets` again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
