"""Triplet shards: crops that agree with their landmarks, files that are always the same, triplets that are lost."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from mfnet.compute.executor import Compute
from mfnet.datasets import multipie
from mfnet.datasets.calibrated import LAYOUTS
from mfnet.datasets.calibrated_scan import scan_calibrated
from mfnet.datasets.plan import SLOTS, plan_triplets
from mfnet.datasets.scan import scan
from mfnet.datasets.shards import CALIBRATED_SCHEMA, SCHEMA, CropSpec, _replacement, encode, write_shards
from mfnet.datasets.triplets import TripletShards
from mfnet.errors import InputError
from mfnet.geometry.cameras import ndc_to_pixels
from mfnet.params import TripletParams
from tests import calibrated as made
from tests.settings import EXACT_PLAN, having

PLAN = having(EXACT_PLAN, triplets=10, validation_share=0.5)
PARAMS = TripletParams(
    image_size=64,
    crop_scale=1.25,
    crop_jitter=0.03,
    jpeg_quality=0,
    rows_per_shard=4,
    rows_per_group=3,
    max_rejected=0.1,
)


def draw_points(path) -> np.ndarray:
    """Replace the photograph by white 7 x 7 px dots on black in a known place; returns their centres [68, 2], px."""
    rng = np.random.default_rng(int(path.stem.replace("_", "")) % 2**31)
    cell = np.stack(np.divmod(rng.permutation(100)[:68], 10), -1)
    points = np.array([220.0, 140.0]) + cell * 20 + 3.5
    image = np.zeros((multipie.HEIGHT, multipie.WIDTH, 3), np.uint8)
    for x, y in (points - 3.5).astype(int):
        image[y : y + 7, x : x + 7] = 255
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return points


@pytest.fixture
def archive(write_archive):
    """(root, plan of 10 triplets in two splits, landmarks)."""
    root = write_archive(subjects=(1, 2), illuminations=(0, 1))
    table, _ = scan(root)
    points = [draw_points(root / path).ravel().astype(np.float32) for path in table["path"]]
    return root, plan_triplets(table, PLAN), pd.DataFrame({"path": table["path"], "landmarks": points})


def write(archive, folder, params=PARAMS, **spread):
    root, plan, landmarks = archive
    folder.mkdir()
    return write_shards(plan, landmarks, CropSpec(str(root), params, seed=2), folder, **spread)


def test_layout_of_the_files(archive, tmp_path):
    assert write(archive, tmp_path / "out").empty
    files = {path.name: pq.ParquetFile(path) for path in (tmp_path / "out").iterdir()}
    assert sorted(files) == ["train-00000.parquet", "train-00001.parquet", "val-00000.parquet", "val-00001.parquet"]
    assert [files[name].metadata.num_rows for name in sorted(files)] == [4, 1, 4, 1]
    first = files["train-00000.parquet"]
    assert first.schema_arrow.equals(SCHEMA)
    assert [first.metadata.row_group(i).num_rows for i in range(first.num_row_groups)] == [3, 1]
    column = first.metadata.row_group(0).column(SCHEMA.get_field_index("image_frontal"))
    assert column.compression == "UNCOMPRESSED" and not column.has_dictionary_page


def test_landmarks_lie_on_what_they_mark(archive, tmp_path):
    write(archive, tmp_path / "out")
    _, plan, landmarks = archive
    points = dict(zip(landmarks["path"], landmarks["landmarks"], strict=True))
    rows = pd.concat([pd.read_parquet(path) for path in sorted((tmp_path / "out").iterdir())])
    assert sorted(rows["triplet"]) == sorted(plan["triplet"])
    for row in rows.to_dict("records"):
        for slot in SLOTS:
            crop = cv2.imdecode(np.frombuffer(row[f"image_{slot}"], np.uint8), cv2.IMREAD_GRAYSCALE)
            assert crop.shape == (64, 64)
            ndc = torch.from_numpy(row[f"landmarks_{slot}"].reshape(68, 2).copy())
            pixels = ndc_to_pixels(ndc, 64, 64).numpy()
            matrix = row[f"matrix_{slot}"].reshape(3, 3)
            source = points[row[f"path_{slot}"]].reshape(68, 2)
            assert np.allclose(source @ matrix[:2, :2].T + matrix[:2, 2], pixels, atol=1e-3)
            assert np.all(np.abs(ndc.numpy()) < 1)
            at = np.floor(pixels).astype(int)
            assert crop[at[:, 1], at[:, 0]].min() > 128 and crop.mean() < 60


def test_bytes_do_not_depend_on_how_the_work_is_spread(archive, tmp_path, monkeypatch):
    from mfnet.datasets import shards

    monkeypatch.setattr(shards, "_CHUNK", 3)
    write(archive, tmp_path / "serial")
    write(archive, tmp_path / "local", compute=Compute("local", 2))
    for path in (tmp_path / "serial").iterdir():
        assert path.read_bytes() == (tmp_path / "local" / path.name).read_bytes()


def test_jitter_differs_by_view_and_stays_small(archive, tmp_path):
    write(archive, tmp_path / "still", PARAMS.model_copy(update={"crop_jitter": 0.0}))
    write(archive, tmp_path / "moved")
    still, moved = (pd.read_parquet(tmp_path / name / "train-00000.parquet") for name in ("still", "moved"))
    scales = np.stack(moved["matrix_left"])[:, 0] / np.stack(still["matrix_left"])[:, 0]
    assert len(set(scales)) == len(scales) and np.all(np.abs(1 / scales - 1) <= 0.0301)


def test_lost_triplets_are_listed_with_their_reasons(archive, tmp_path):
    root, plan, landmarks = archive
    without, broken = (
        plan[slot].value_counts().index[-1] for slot in ("left", "right")
    )  # those of the fewest triplets
    (root / broken).write_bytes((root / broken).read_bytes()[:200])
    landmarks = landmarks[landmarks["path"] != without]
    rejected = write((root, plan, landmarks), tmp_path / "out")
    lost = plan[plan["left"].eq(without) | plan["right"].eq(broken)]
    assert 0 < len(lost) < len(plan) and sorted(rejected["triplet"]) == sorted(lost["triplet"])
    reasons = set(rejected["reason"])
    assert f"left view without landmarks: {without}" in reasons
    assert any(reason.startswith("right view: broken PNG") and reason.endswith(broken) for reason in reasons)
    written = pd.concat([pd.read_parquet(path) for path in (tmp_path / "out").iterdir()])
    assert len(written) == len(plan) - len(lost)


def without_landmarks(archive, plan, lost: int):
    """Landmarks but those of the frontal images of the first `lost` triplets."""
    root, _, landmarks = archive
    return root, plan, landmarks[~landmarks["path"].isin(plan["frontal"].iloc[:lost])]


def rows_of(folder) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.iterdir())])


def test_lost_triplets_are_replaced_from_the_reserve(archive, tmp_path):
    root, _, _ = archive
    plan = plan_triplets(scan(root)[0], PLAN.model_copy(update={"triplets": 6, "reserve": 1.0}))
    spoilt = without_landmarks(archive, plan, 1)
    rejected = write(spoilt, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert len(rejected) >= 1 and len(rows) == 6 and not rows["triplet"].isin(rejected["triplet"]).any()
    assert plan["reserve"].sum() > 0 and rows["triplet"].isin(plan.loc[plan["reserve"], "triplet"]).any()
    write(spoilt, tmp_path / "again", compute=Compute("local", 2))
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_reserve_that_is_used_up_is_one_line(archive, tmp_path, caplog):
    root, _, _ = archive
    plan = plan_triplets(scan(root)[0], PLAN.model_copy(update={"triplets": 14, "reserve": 0.1}))
    rejected = write(without_landmarks(archive, plan, 1), tmp_path / "out")
    written = len(rows_of(tmp_path / "out"))
    assert written + len(rejected) == len(plan) and written < 14
    assert f"triplets: {written} of 14 planned: {len(rejected)} were lost" in caplog.text
    assert "frontal view without landmarks" in caplog.text and "raise plan.reserve" in caplog.text


def test_what_replaces_a_triplet_is_like_it():
    spare = {
        number: {"split": split, "subject": subject, "expression": expression}
        for number, (split, subject, expression) in enumerate(
            [("val", "001", "smile"), ("train", "002", "smile"), ("train", "003", "neutral"), ("train", "003", "smile")]
        )
    }
    taken = []
    while spare:
        taken.append(_replacement({"split": "train", "subject": "003", "expression": "smile"}, spare))
        del spare[taken[-1]]
    assert taken == [3, 2, 1, 0]
    assert _replacement({}, {}) is None


def test_a_split_that_loses_everything_is_an_error(archive, tmp_path):
    root, plan, landmarks = archive
    of_val = plan.loc[plan["split"] == "val", "frontal"]
    with pytest.raises(InputError, match="no val triplet is left"):
        write((root, plan, landmarks[~landmarks["path"].isin(of_val)]), tmp_path / "out")


def test_encodings():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 3)
    png, jpeg = (cv2.imdecode(np.frombuffer(encode(image, q), np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for q in (0, 95))
    assert np.array_equal(png, image)
    assert np.abs(jpeg.astype(int) - image).max() <= 6 and encode(image, 95)[:2] == b"\xff\xd8"


def calibrated(root: Path, layout: str) -> tuple[Path, pd.DataFrame, pd.DataFrame]:
    """A made archive without faces, its plan, and exact landmarks with the unit of its cameras."""
    made.write_archive(root, layout)
    plan = made.plan_of(scan_calibrated(root, layout)[0])
    return root, plan, made.detected(plan, 1e-6).assign(unit=made.RECONSTRUCTION if layout == "facescape" else 1.0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_crops_of_a_calibrated_archive_are_what_their_cameras_see(tmp_path, layout):
    rejected = write(calibrated(tmp_path / "archive", layout), tmp_path / "out")
    assert rejected.empty
    numbers = {int(subject): number for number, subject in enumerate(made.SUBJECTS)}
    for path in sorted((tmp_path / "out").iterdir()):
        assert pq.ParquetFile(path).schema_arrow.equals(CALIBRATED_SCHEMA)
        shards = TripletShards([path])
        (batch,) = shards.batches([shards.order(None)])
        assert shards.calibrated and batch.cameras is not None
        for item, row in enumerate(pd.read_parquet(path).to_dict("records")):
            points = made.sitter(numbers[int(row["subject"])]).landmarks
            for view, slot in enumerate(SLOTS):
                K, R, t = (row[f"{name}_{slot}"].astype(np.float64) for name in ("K", "R", "t"))
                seen = (points @ R.reshape(3, 3).T + t) @ K.reshape(3, 3).T
                ndc = seen[:, :2] / seen[:, 2:] * [2 / 64, -2 / 64] + [-1, 1]
                assert np.abs(ndc - row[f"landmarks_{slot}"].reshape(68, 2)).max() < 1e-3
                in_view = points @ batch.cameras.rotation[item, view].double().numpy().T
                in_view = in_view + batch.cameras.translation[item, view].double().numpy()
                again = batch.cameras.focal[item, view].item() * in_view[:, :2] / -in_view[:, 2:]
                assert np.abs(again - ndc).max() < 1e-3


def test_a_photograph_of_another_size_than_its_camera_is_lost(tmp_path):
    root, plan, landmarks = calibrated(tmp_path / "archive", "nersemble")
    path = plan["left"].iloc[0]
    with Image.open(root / path) as image:
        image.resize((200, 240)).save(root / path)
    rejected = write((root, plan, landmarks), tmp_path / "out")
    assert set(rejected["reason"]) == {f"left view: 200 x 240 px, but its camera's K is for 300 x 360: {path}"}


def test_shards_with_and_without_cameras_do_not_mix(archive, tmp_path):
    write(archive, tmp_path / "plain")
    write(calibrated(tmp_path / "archive", "nersemble"), tmp_path / "out")
    with pytest.raises(InputError, match="cameras are in some shards and not in others"):
        TripletShards([tmp_path / "plain" / "val-00000.parquet", tmp_path / "out" / "val-00000.parquet"])
