"""Reading shards: the same order for a seed whatever is read when, nothing lost, nothing read twice."""

import io
import zlib

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mfnet.datasets.plan import SLOTS
from mfnet.datasets.triplets import TripletShards, _decode
from mfnet.errors import InputError
from mfnet.io.images import NoPhoto

SIZE = 16


def encoded(colour: int, size: int = SIZE) -> bytes:
    """A PNG of one RGB colour (colour, 0, 255 - colour)."""
    image = np.full((size, size, 3), (255 - colour, 0, colour), np.uint8)  # OpenCV's order is BGR
    return cv2.imencode(".png", image)[1].tobytes()


def rows(first: int, count: int) -> pd.DataFrame:
    """Triplets `first` ...: triplet t has colours t, t + 1, t + 2 and landmarks that count from t."""
    table = {
        "triplet": range(first, first + count),
        "subject": [f"{1 + t % 5:03d}" for t in range(first, first + count)],
    }
    for offset, slot in enumerate(SLOTS):
        table[f"image_{slot}"] = [encoded(t + offset) for t in range(first, first + count)]
        table[f"checksum_{slot}"] = [zlib.crc32(image) for image in table[f"image_{slot}"]]
        table[f"landmarks_{slot}"] = [np.arange(136, dtype=np.float32) + t for t in range(first, first + count)]
        table[f"yaw_{slot}"] = [float(30 * (offset - 1))] * count
    return pd.DataFrame(table)


@pytest.fixture
def shards(tmp_path):
    """40 triplets in two shards with row groups of 4."""
    paths = [tmp_path / f"train-{index:05d}.parquet" for index in range(2)]
    for index, path in enumerate(paths):
        rows(20 * index, 20).to_parquet(path, row_group_size=4, index=False)
    return paths


def read(triplets: TripletShards, order: np.ndarray, size: int = 8, threads: int = 1) -> list[list[int]]:
    pieces = [order[first : first + size] for first in range(0, len(order), size)]
    return [batch.triplet.tolist() for batch in triplets.batches(pieces, threads)]


def test_an_epoch_holds_every_triplet_once_in_an_order_of_its_own(shards):
    triplets = TripletShards(shards)
    epochs = [read(triplets, triplets.order(0, epoch), size=40)[0] for epoch in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(40))] * 2
    assert epochs[0] != epochs[1] != list(range(40))
    assert read(triplets, triplets.order(None), size=40) == [list(range(40))]


def test_the_order_depends_on_the_seed_alone(shards):
    first, again = TripletShards(shards), TripletShards(shards)
    read(again, again.order(5), threads=3)  # what was read before does not matter
    assert read(first, first.order(3, 1)) == read(again, again.order(3, 1), threads=4)
    assert not np.array_equal(first.order(3, 1), first.order(4, 1))


def test_reading_from_the_middle_gives_the_same_batches(shards):
    triplets = TripletShards(shards)
    order = triplets.order(0)
    assert read(TripletShards(shards), order[16:]) == read(triplets, order)[2:]


def test_a_batch_is_what_was_written(shards):
    triplets = TripletShards(shards)
    batch = next(triplets.batches([triplets.order(0)[:8]]))
    assert batch.images.shape == (8, 3, 3, SIZE, SIZE) and batch.images.dtype == torch.uint8
    for item, triplet in enumerate(batch.triplet.tolist()):
        assert batch.subject[item] == 1 + triplet % 5
        for slot in range(3):
            assert batch.images[item, slot, :, 3, 5].tolist() == [triplet + slot, 0, 255 - triplet - slot]
        assert batch.landmarks[item, 2, 0].tolist() == [triplet, triplet + 1]
        assert batch.yaw[item].tolist() == [-30, 0, 30]
    assert torch.equal((batch.pixels() * 255).byte(), batch.images)


def test_no_batch_is_no_error(shards):
    assert list(TripletShards(shards).batches([])) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda table: table.drop(columns="landmarks_left"), "bad.parquet: column landmarks_left is missing"),
        (lambda table: table.iloc[:0], "bad.parquet: no rows"),
    ],
)
def test_a_shard_of_another_shape_is_refused_by_name(tmp_path, spoil, message):
    path = tmp_path / "bad.parquet"
    spoil(rows(0, 3)).to_parquet(path)
    with pytest.raises(InputError, match=message):
        TripletShards([path])


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"no image", "not a readable image"),
        (encoded(0, 24), "24 x 24 px"),
        (encoded(0, 4096), "4096 x 4096 px"),
    ],
)
def test_a_damaged_image_is_named(tmp_path, blob, message):
    table = rows(0, 4)
    table.at[2, "image_right"], table.at[2, "checksum_right"] = blob, zlib.crc32(blob)
    table.to_parquet(tmp_path / "bad.parquet")
    triplets = TripletShards([tmp_path / "bad.parquet"])
    with pytest.raises(InputError, match=rf"bad\.parquet: row group 0, row 2 \(triplet 2\): image_right: {message}"):
        read(triplets, triplets.order(None))


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_damaged_image_data_do_not_pass_unseen(tmp_path, ending):
    """In the middle of the pixels, where a JPEG still decodes."""
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = bytearray(cv2.imencode(ending, image)[1].tobytes())
    table = rows(0, 2)
    for slot in SLOTS:
        table[f"image_{slot}"] = [bytes(data)] * 2
        table[f"checksum_{slot}"] = zlib.crc32(data)
    table.to_parquet(tmp_path / "good.parquet")
    good = TripletShards([tmp_path / "good.parquet"])
    read(good, good.order(None))
    data[len(data) // 2] ^= 0x10
    table.at[1, "image_left"] = bytes(data)
    table.to_parquet(tmp_path / "bad.parquet")
    bad = TripletShards([tmp_path / "bad.parquet"])
    with pytest.raises(InputError, match=r"bad\.parquet: row group 0, row 1 \(triplet 1\): image_left: damaged"):
        read(bad, bad.order(None))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("shape", [(2400, 2400), (24, 24), (16, 16), (12, 32)])
def test_one_of_another_size_is_named(tmp_path, suffix, shape):
    """Larger, smaller, or as many pixels in another form."""
    images = [cv2.imencode(suffix, np.zeros((*each, 3), np.uint8))[1].tobytes() for each in [(24, 16)] * 2 + [shape]]
    table = rows(0, 3)
    for slot in SLOTS:
        table[f"image_{slot}"], table[f"checksum_{slot}"] = images, [zlib.crc32(image) for image in images]
    table.to_parquet(tmp_path / "bad.parquet")
    triplets = TripletShards([tmp_path / "bad.parquet"])
    assert read(triplets, triplets.order(None)[:2]) == [[0, 1]]
    with pytest.raises(InputError, match=rf"row 2 .* image_frontal: {shape[1]} x {shape[0]} px"):
        read(triplets, triplets.order(None))


@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"subsampling": 2}, {"exif": bytes(200)}])
def test_pixels_are_those_of_opencv(settings):
    buffer = io.BytesIO()
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (40, 32, 3), dtype=np.uint8), (0, 0), 2)
    Image.fromarray(image).save(buffer, "JPEG", **settings)
    out = np.empty((40, 32, 3), np.uint8)
    _decode(buffer.getvalue(), None, out)
    bgr = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(out, bgr[..., ::-1])


def test_grey_becomes_three_equal_channels():
    buffer, out = io.BytesIO(), np.empty((8, 8, 3), np.uint8)
    Image.new("L", (8, 8), 100).save(buffer, "JPEG")
    _decode(buffer.getvalue(), None, out)
    assert (out == 100).all()


def test_a_jpeg_with_many_scans_is_refused():
    buffer = io.BytesIO()
    Image.new("RGB", (1024, 1024)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    scan = content[content.rfind(b"\xff\xda") : -2]
    content = content[:-2] + 200_000 * scan + content[-2:]
    with pytest.raises(NoPhoto, match="scans"):
        _decode(content, None, np.empty((1024, 1024, 3), np.uint8))


def test_a_batch_stays_as_it_is_while_others_are_read(shards):
    """Buffers are used again, but only those of batches that are gone."""
    triplets = TripletShards(shards)
    order = triplets.order(0)
    batches = list(triplets.batches([order[first : first + 4] for first in range(0, 40, 4)], threads=3))
    for batch in batches:
        assert batch.images[:, 0, 0, 0, 0].tolist() == batch.triplet.tolist()


def test_shards_without_checksums_are_read_and_named(tmp_path, caplog):
    rows(0, 4).drop(columns=[f"checksum_{slot}" for slot in SLOTS]).to_parquet(tmp_path / "old.parquet")
    triplets = TripletShards([tmp_path / "old.parquet"])
    assert read(triplets, triplets.order(None)) == [[0, 1, 2, 3]]
    assert "old.parquet: images without checksums" in caplog.text and "stage `triplets`" in caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_pinned_batches_are_the_same(shards):
    triplets = TripletShards(shards)
    pieces = [triplets.order(0)[:8]]
    (plain,), (pinned,) = list(triplets.batches(pieces)), list(triplets.batches(pieces, pinned=True))
    assert all(getattr(pinned, name).is_pinned() for name in ("images", "landmarks", "yaw", "triplet"))
    moved = pinned.to(torch.device("cuda"))
    assert torch.equal(moved.images.cpu(), plain.images) and torch.equal(moved.landmarks.cpu(), plain.landmarks)


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"half a file")
    with pytest.raises(InputError, match=r"bad\.parquet: not a readable Parquet file"):
        TripletShards([tmp_path / "bad.parquet"])
    with pytest.raises(InputError, match="run the stage `triplets`"):
        TripletShards([])


WRONG_TYPES = {
    "text as triplet": ("triplet", lambda table: table["triplet"].astype(str)),
    "number as image": ("image_left", lambda table: table["triplet"]),
    "text as landmarks": ("landmarks_right", lambda table: table["subject"]),
    "whole numbers as landmarks": ("landmarks_right", lambda table: [[1, 2]] * len(table)),
    "text as yaw": ("yaw_left", lambda table: table["subject"]),
}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_a_column_of_another_type_is_refused_when_the_shard_is_opened(tmp_path, name):
    column, values = WRONG_TYPES[name]
    table = rows(0, 3)
    table[column] = values(table)
    table.to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(InputError, match=rf"bad\.parquet: column {column} is of type"):
        TripletShards([tmp_path / "bad.parquet"])


LANDMARKS = np.arange(136, dtype=np.float32)
BAD_VALUES = {
    "no triplet": ("triplet", None),
    "no subject": ("subject", None),
    "subject that is none": ("subject", "abc"),
    "no image": ("image_frontal", None),
    "no checksum": ("checksum_left", None),
    "no landmarks": ("landmarks_left", None),
    "short landmarks": ("landmarks_left", LANDMARKS[:-1]),
    "no landmark": ("landmarks_left", [None] * 136),
    "landmarks of nothing": ("landmarks_left", np.where(LANDMARKS == 7, np.nan, LANDMARKS)),
    "no yaw": ("yaw_right", None),
    "endless yaw": ("yaw_right", np.inf),
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_a_value_that_cannot_be_used_is_named_by_shard_row_group_and_row(tmp_path, name):
    column, value = BAD_VALUES[name]
    table = rows(0, 8)
    if column in ("triplet", "checksum_left"):
        table[column] = table[column].astype("Int64")
    table.at[6, column] = value
    table.to_parquet(tmp_path / "bad.parquet", row_group_size=4)
    triplets = TripletShards([tmp_path / "bad.parquet"])
    with pytest.raises(InputError, match=rf"bad\.parquet: row group 1, row 2: {column} is missing"):
        read(triplets, triplets.order(None))


def test_damaged_pages_are_named(tmp_path):
    """Bytes turned over anywhere but in the header: read, or refused in words of our own."""
    rows(0, 8).to_parquet(tmp_path / "good.parquet", row_group_size=4)
    good, rng, refused = (tmp_path / "good.parquet").read_bytes(), np.random.default_rng(0), 0
    for number in range(150):
        content = bytearray(good)
        for place in rng.integers(4, len(content), 4):
            content[place] ^= int(rng.integers(1, 256))
        path = tmp_path / f"{number}.parquet"
        path.write_bytes(content)
        try:
            triplets = TripletShards([path])
            read(triplets, triplets.order(None))
        except InputError as error:
            refused += 1
            assert str(error).startswith(str(path))
    assert refused > 30
