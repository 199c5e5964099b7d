"""Reading triplet shards for training: shuffled, in a fixed order per seed and epoch, from any position.

A shard is a Parquet file with one row a triplet (columns: `COLUMNS`). The order of an epoch is computed in advance
from the seed and the epoch alone, so that training can go on from any batch and a batch never depends on how many
threads read. Row groups are shuffled, and rows within runs of SHUFFLE_GROUPS of them, so that reading stays nearly
sequential. Images carry a checksum, and a damaged one is named.
"""

import logging
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import simplejpeg
import torch
from torch import Tensor

from mfnet.compute.compiled import empty
from mfnet.datasets.plan import SLOTS
from mfnet.errors import InputError
from mfnet.geometry.conventions import VIEW_TO_OPENCV
from mfnet.io.images import JPEG_SCAN, MAX_SCANS, NoPhoto, check_photo, to_float
from mfnet.model.rig import KnownCameras

log = logging.getLogger(__name__)

COLUMNS = ["triplet", "subject", *(f"{name}_{slot}" for name in ("image", "landmarks", "yaw") for slot in SLOTS)]
CAMERA_COLUMNS = [f"{name}_{slot}" for name in ("K", "R", "t") for slot in SLOTS]
"""Columns besides of calibrated archives."""
CHECKSUMS = [f"checksum_{slot}" for slot in SLOTS]
"""CRC-32 of each image. Shards of before have none, which is a line on stderr."""
SHUFFLE_GROUPS = 8
MAX_CROP = 2048
"""Pixels on a side of a crop at most."""
_MAX_GROUP = 1 << 30
_JPEG = b"\xff\xd8"
_CHEAP = 1 << 33
"""Bytes times values: less takes under a second, however many scans the bytes are."""
_REMEDY = "run the stage `triplets` again"
_LENGTHS = {"landmarks": 136, "K": 9, "R": 9, "t": 3}
"""Numbers in a value of a column of lists, by the first part of its name."""
_KINDS: dict[str, Callable[[pa.DataType], bool]] = {
    "triplet": pa.types.is_integer,
    "subject": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    "image": lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind),
    "checksum": pa.types.is_integer,
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
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        cameras = None if self.cameras is None else self.cameras.map(function)
        tensors = {name: function(value) for name, value in values.items() if name != "cameras"}
        return TripletBatch(**tensors, cameras=cameras)

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
        self.calibrated = _is_calibrated(self._shards[0])
        """Whether the triplets have cameras."""
        pairs = zip(self.paths, self._shards, strict=True)
        other = next((path for path, shard in pairs if _is_calibrated(shard) != self.calibrated), None)
        if other is not None:
            raise InputError(f"{other}: cameras are in some shards and not in others; {_REMEDY}")
        bare = [path for path, shard in zip(self.paths, self._shards, strict=True) if not _has_checksums(shard)]
        if bare:
            log.warning("%s: images without checksums, so that damage may pass unseen; %s", bare[0], _REMEDY)
        self._groups = [
            RowGroup(shard, index, file.metadata.row_group(index).num_rows)
            for shard, file in enumerate(self._shards)
            for index in range(file.num_row_groups)
        ]
        self._held: OrderedDict[int, _Group] = OrderedDict()

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

    def batches(self, rows: Sequence[np.ndarray], threads: int = 1, pinned: bool = False) -> Iterator[TripletBatch]:
        """Read the batches whose (row group, row) pairs are given, in that order, AHEAD of their use.

        rows: one array [B, 2] per batch, as cut from `order`; threads: images decoded at once; pinned: in page-locked
        memory, from which a GPU copies while it computes.

        Raises InputError, which names shard, row group, row and triplet, for what cannot be read, and for an image
        whose bytes are not those that were written.
        """
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(threads) as decoders:
            waiting = iter(rows)

            def begin(batch: np.ndarray) -> Future[TripletBatch]:
                return reader.submit(self._read, batch, decoders, threads, pinned)

            pending = deque(begin(batch) for batch in islice(waiting, AHEAD))
            while pending:
                batch = pending.popleft().result()
                pending.extend(begin(following) for following in islice(waiting, 1))
                yield batch

    def _read(self, rows: np.ndarray, decoders: ThreadPoolExecutor, threads: int, pinned: bool) -> TripletBatch:
        places = [(self._group(group), row) for group, row in rows.tolist()]
        encoded = [group.image(row, slot) for group, row in places for slot in range(len(SLOTS))]
        sums = [each for group, row in places for each in group.checksums_of(row)]
        with self._naming(rows, 0):
            size = _size(encoded[0])
        images = _buffer((len(encoded), *size, 3), pinned)
        pixels = images.numpy()

        def decode(indices: np.ndarray) -> None:
            for index in indices.tolist():
                with self._naming(rows, index):
                    _decode(encoded[index], sums[index], pixels[index])

        own, *others = np.array_split(np.arange(len(encoded)), threads)
        waiting = [decoders.submit(decode, share) for share in others]
        decode(own)
        for each in waiting:
            each.result()
        numbers = [
            torch.from_numpy(np.stack([getattr(group, name)[row] for group, row in places]))
            for name in ("triplet", "subject", "landmarks", "yaw")
        ]
        triplet, subject, landmarks, yaw = (each.pin_memory() for each in numbers) if pinned else numbers
        images = images.unflatten(0, (len(rows), len(SLOTS))).permute(0, 1, 4, 2, 3)
        cameras = None
        if self.calibrated:
            cameras = _cameras([group.camera(row) for group, row in places], size[1])
            cameras = cameras.map(Tensor.pin_memory) if pinned else cameras
        return TripletBatch(triplet, subject, images, landmarks, yaw, cameras)

    @contextmanager
    def _naming(self, rows: np.ndarray, index: int) -> Iterator[None]:
        """Where image number `index` of a batch is none, InputError names it."""
        try:
            yield
        except NoPhoto as error:
            raise InputError(f"{self._image(rows, index)}: {error}; {_REMEDY}") from None

    def _image(self, rows: np.ndarray, index: int) -> str:
        """What a message calls image number `index` of a batch."""
        (number, row), slot = rows[index // len(SLOTS)].tolist(), SLOTS[index % len(SLOTS)]
        return f"{self._where(number)}, row {row} (triplet {self._group(number).triplet[row]}): image_{slot}"

    def _group(self, number: int) -> "_Group":
        """A row group, kept until twice SHUFFLE_GROUPS others were read (a batch may straddle two runs)."""
        if number not in self._held:
            group = self._groups[number]
            self._held[number] = _Group.of(_read_group(self._shards[group.shard], group.index, self._where(number)))
            if len(self._held) > 2 * SHUFFLE_GROUPS:
                self._held.popitem(last=False)
        return self._held[number]

    def _where(self, number: int) -> str:
        group = self._groups[number]
        return f"{self.paths[group.shard]}: row group {group.index}"


class _Group(NamedTuple):
    """A row group's columns as arrays, so that a row costs no more than its images."""

    triplet: np.ndarray
    """[N] int64."""
    subject: np.ndarray
    """[N] int64."""
    landmarks: np.ndarray
    """[N, 3, 68, 2] float32."""
    yaw: np.ndarray
    """[N, 3] float32."""
    checksums: np.ndarray | None
    """[N, 3] CRC-32 of each encoded image, if there are any."""
    encoded: list[tuple[np.ndarray, list[int]]]
    """Of each slot: the bytes of all images, and where each begins; the last one's end too."""
    cameras: np.ndarray | None
    """[N, 3, 21] float32: K, R and t of each crop, if there are any."""

    @classmethod
    def of(cls, table: pa.Table) -> "_Group":
        """The columns of a row group that was found good."""
        count = len(table)
        return cls(
            table["triplet"].to_numpy().astype(np.int64),
            np.array([int(subject) for subject in table["subject"].to_pylist()]),
            np.stack([_numbers(table, f"landmarks_{slot}").reshape(count, 68, 2) for slot in SLOTS], 1),
            np.stack([_numbers(table, f"yaw_{slot}") for slot in SLOTS], 1),
            np.stack([table[name].to_numpy() for name in CHECKSUMS], 1) if CHECKSUMS[0] in table.column_names else None,
            [_bytes_of(table[f"image_{slot}"].chunk(0)) for slot in SLOTS],
            _camera_values(table) if CAMERA_COLUMNS[0] in table.column_names else None,
        )

    def camera(self, row: int) -> np.ndarray:
        """K, R and t [3, 21] of a calibrated row's crops."""
        assert self.cameras is not None  # of an archive without calibration nobody asks
        return self.cameras[row]

    def checksums_of(self, row: int) -> list[int] | list[None]:
        """Of a row's images."""
        return [None] * len(SLOTS) if self.checksums is None else self.checksums[row].tolist()

    def image(self, row: int, slot: int) -> bytes:
        """An encoded image."""
        content, starts = self.encoded[slot]
        return content[starts[row] : starts[row + 1]].tobytes()


def _bytes_of(column: pa.Array) -> tuple[np.ndarray, list[int]]:
    """The bytes of a binary column and where each value begins, without a copy."""
    wide = pa.types.is_large_binary(column.type)
    _, offsets, content = column.buffers()
    starts = np.frombuffer(offsets, np.int64 if wide else np.int32)[column.offset :][: len(column) + 1]
    return np.frombuffer(content or b"", np.uint8), starts.tolist()


def _size(encoded: bytes) -> tuple[int, int]:
    """Height and width of an encoded crop, by its header. Raises NoPhoto for what is none."""
    return check_photo(encoded, ("JPEG", "PNG"), MAX_CROP**2)


def _decode(encoded: bytes, checksum: int | None, out: np.ndarray) -> None:
    """Decode a crop into uint8 RGB [H, W, 3]. Raises NoPhoto for one that is damaged or of another size."""
    if checksum is not None and zlib.crc32(encoded) != checksum:
        raise NoPhoto("damaged: its bytes are not those that were written")
    try:
        size = _decode_jpeg(encoded, out) if encoded.startswith(_JPEG) else _decode_png(encoded, out)
    except ValueError as error:  # too large for `out`, damaged, or of a kind that is not RGB
        size = _size(encoded)
        if size == out.shape[:2]:
            raise NoPhoto(f"not a readable image: {' '.join(str(error).split())}") from None
    if size != out.shape[:2]:
        raise NoPhoto(f"{size[1]} x {size[0]} px, and the first of its batch {out.shape[1]} x {out.shape[0]}")


def _decode_jpeg(encoded: bytes, out: np.ndarray) -> tuple[int, int]:
    """Height and width of what now is in `out`, straight from libjpeg-turbo: OpenCV's way there takes a third longer.

    Raises ValueError for what is damaged or too large for `out`.
    """
    may_take_long = len(encoded) * out.size > _CHEAP  # a scan of a dozen bytes goes over all pixels
    if may_take_long and encoded.count(JPEG_SCAN) > MAX_SCANS:
        raise ValueError(f"more than {MAX_SCANS} scans")
    height, width, _ = simplejpeg.decode_jpeg(encoded, "RGB", buffer=out).shape
    return height, width


def _decode_png(encoded: bytes, out: np.ndarray) -> tuple[int, int]:
    """As `_decode_jpeg`."""
    size = _size(encoded)
    if size == out.shape[:2]:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError("damaged")
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=out)
    return size


def _buffer(shape: tuple[int, ...], pinned: bool) -> Tensor:
    """Memory for a batch of images, used again once the batch is gone: fresh pages cost a tenth of the decoding."""
    return torch.empty(shape, dtype=torch.uint8, pin_memory=True) if pinned else empty(shape, torch.uint8)


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    """All numbers of a column (of numbers, or of lists of them) in a row, float32."""
    column = table[name].combine_chunks()
    values = column if pa.types.is_primitive(column.type) else column.flatten()
    return values.to_numpy(zero_copy_only=False).astype(np.float32)


def _camera_values(table: pa.Table) -> np.ndarray:
    """[N, 3, 21]: K, R and t of every crop in a row."""
    values = [[_numbers(table, f"{name}_{slot}").reshape(len(table), -1) for name in ("K", "R", "t")] for slot in SLOTS]
    return np.stack([np.concatenate(each, 1) for each in values], 1)


def _cameras(values: list[np.ndarray], size: int) -> KnownCameras:
    """The cameras of crops `size` px wide (`mfnet.datasets.shards.CALIBRATED_SCHEMA`) from `_Group.camera`."""
    K, R, t = np.split(np.stack(values), [9, 18], axis=-1)
    axes = VIEW_TO_OPENCV.astype(np.float32)
    arrays = (K[..., 0] * np.float32(2 / size), axes @ R.reshape(*R.shape[:2], 3, 3), t @ axes)
    return KnownCameras(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))


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
    for name in _columns(shard):
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


def _columns(shard: pq.ParquetFile) -> list[str]:
    """The columns that are read of a shard: with cameras and checksums, where it has them."""
    further = (CAMERA_COLUMNS if _is_calibrated(shard) else []) + (CHECKSUMS if _has_checksums(shard) else [])
    return COLUMNS + further


def _is_calibrated(shard: pq.ParquetFile) -> bool:
    return CAMERA_COLUMNS[0] in shard.schema_arrow.names


def _has_checksums(shard: pq.ParquetFile) -> bool:
    return set(CHECKSUMS) <= set(shard.schema_arrow.names)


def _read_group(shard: pq.ParquetFile, index: int, where: str) -> pa.Table:
    """A row group whose values are all there and finite. Raises InputError, which names the row, for any other."""
    try:
        columns = _columns(shard)
        table = shard.read_row_group(index, columns=columns, use_threads=False).combine_chunks()
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
    good = np.asarray(column.is_valid()) if column.null_count else np.ones(len(column), bool)
    kind = name.partition("_")[0]
    if kind == "subject":
        good = good & np.array(
            [value is not None and value.isdecimal() and len(value) < 10 for value in column.to_pylist()]
        )
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
