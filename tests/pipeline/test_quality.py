"""The Great Expectations suites: good tables pass, each kind of fault is named with its expectation and rows."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfnet.datasets import multipie, quality
from mfnet.datasets.plan import SLOTS
from mfnet.datasets.scan import manifest_of
from mfnet.datasets.shards import SCHEMA
from mfnet.errors import InputError
from mfnet.landmarks.gates import bounds, measure
from mfnet.params import TripletParams
from tests.landmarks.faces import found_table, head, person, photograph
from tests.settings import EMBEDDED, having

LANDMARKS = having(EMBEDDED.landmarks, min_score=0.1, max_rejected=0.05)
TRIPLETS = TripletParams(
    image_size=64,
    crop_scale=1.25,
    crop_jitter=0.0,
    jpeg_quality=95,
    rows_per_shard=8,
    rows_per_group=8,
    max_rejected=0.1,
)
NONE_REJECTED = pd.DataFrame({"path": [], "reason": []}, dtype="str")


def manifest() -> pd.DataFrame:
    fields = [(f"{s:03d}", 1, r, c, i) for s in (1, 2) for r in (1, 2) for c in multipie.YAW for i in (0, 7)]
    return manifest_of([multipie.image_path(*f) for f in fields], [f"{n:016x}" for n in range(len(fields))])


def rejected(count: int, ending: str = ".png") -> pd.DataFrame:
    return pd.DataFrame(
        {"path": [f"{n}{ending}" for n in range(count)], "reason": "broken PNG: truncated"}, dtype="str"
    )


def faces(count: int = 20) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (count, 68, 2)) * 5 + [320, 240]
    points[:, 17:27, 1] -= 60
    points[:, 8, 1] += 70
    return pd.DataFrame(
        {
            "path": [f"{n:02d}.png" for n in range(count)],
            "landmarks": list(points.reshape(count, 136).astype(np.float32)),
            "score": np.linspace(0.5, 1, count),
            "backend": pd.array(["network"] * count, dtype="str"),
        }
    )


def triplet(number: int, of: str, **changes) -> dict:
    row = {"triplet": number, "subject": of, "session": 1, "recording": 1, "expression": "neutral"}
    for slot, yaw in zip(SLOTS, (0, -30, 45), strict=True):
        row |= {f"image_{slot}": b"x" * 500, f"yaw_{slot}": yaw, f"path_{slot}": f"{number}-{slot}.png"}
        row |= {f"landmarks_{slot}": [0.5] * 136, f"matrix_{slot}": [1.0] * 9}
    return row | changes


def write_shards(folder, train, val):
    folder.mkdir()
    for split, rows in (("train", train), ("val", val)):
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / f"{split}-00000.parquet")


def lost_triplets(count: int) -> pd.DataFrame:
    table = pd.DataFrame(
        {"triplet": range(100, 100 + count), "split": "train", "reason": "left view without landmarks"}
    )
    return table.astype({"split": "str", "reason": "str"})


# ---------------------------------------------------------------------------------------------------------- manifest
def test_good_manifest_passes_and_leaves_its_verdict(tmp_path):
    strays = rejected(30, ".db")  # no images: they do not count towards the bound
    quality.check_manifest(manifest(), pd.concat([rejected(2), strays]), 0.05, tmp_path / "verdict.json")
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert verdict["rows"] == 104 and verdict["rejected"] == 32 and verdict["reasons"] == {"broken PNG": 32}
    assert verdict["expectations_met"] > 10


@pytest.mark.parametrize(
    ("column", "value", "expectation"),
    [
        ("subject", "1", "values_to_be_in_set"),
        ("subject", "347", "values_to_be_in_set"),
        ("session", 5, "values_to_be_in_set"),
        ("recording", 4, "values_to_be_in_set"),
        ("camera", "99_9", "values_to_be_in_set"),
        ("illumination", 20, "values_to_be_in_set"),
        ("expression", "bored", "values_to_be_in_set"),
        ("yaw", 100.0, "values_to_be_between"),
        ("checksum", None, "values_to_not_be_null"),
        ("path", "session01/multiview/001/01/24_0/001_01_01_240_07.png", "values_to_be_unique"),
    ],
)
def test_manifest_fault_is_named_with_its_row(tmp_path, column, value, expectation):
    table = manifest()
    table.loc[0, column] = value
    with pytest.raises(InputError, match=expectation) as caught:
        quality.check_manifest(table, NONE_REJECTED, 0.05, tmp_path / "verdict.json")
    message = str(caught.value)
    assert message.startswith("data/multipie/manifest.parquet: ") and table["path"].iloc[0] in message
    assert column in message and "\n" not in message and not (tmp_path / "verdict.json").exists()


@pytest.mark.parametrize("ending", [".PNG", ".jpg", ".Tiff"])
def test_images_that_are_not_used_count_whatever_their_ending(tmp_path, ending):
    with pytest.raises(InputError, match=r"ingest\.max_rejected allows 10\.00%"):
        quality.check_manifest(manifest(), rejected(12, ending), 0.1, tmp_path / "verdict.json")


def test_folders_that_cannot_be_read_count(tmp_path):
    folders = rejected(12, "").assign(reason="unreadable folder: Permission denied")
    with pytest.raises(InputError, match=r"unreadable folder.*ingest\.max_rejected allows 10\.00%"):
        quality.check_manifest(manifest(), folders, 0.1, tmp_path / "verdict.json")


def test_too_many_rejected_images(tmp_path):
    quality.check_manifest(manifest(), rejected(11), 0.1, tmp_path / "verdict.json")
    with pytest.raises(InputError, match=r"12 of 116 rows.*0\.png: broken PNG.*ingest\.max_rejected allows 10\.00%"):
        quality.check_manifest(manifest(), rejected(12), 0.1, tmp_path / "verdict.json")


# --------------------------------------------------------------------------------------------------------- landmarks
def test_good_landmarks_pass(tmp_path):
    quality.check_landmarks(faces(), rejected(1), LANDMARKS, tmp_path / "verdict.json")
    assert json.loads((tmp_path / "verdict.json").read_text())["mean_score"] == 0.75


def shifted(offset, scale=1.0) -> np.ndarray:
    points = faces(1)["landmarks"].iloc[0].reshape(68, 2)
    return ((points - [320, 240]) * scale + [320, 240] + offset).astype(np.float32).ravel()


@pytest.mark.parametrize(
    ("column", "value", "named"),
    [
        ("score", 1.2, "score"),
        ("score", 0.05, "score"),
        ("backend", "annotations", "backend"),
        ("path", "04.png", "values_to_be_unique"),
        ("landmarks", np.zeros(10, np.float32), "column=values"),
        ("landmarks", shifted([0, 0], 0.05), "column=side"),
        ("landmarks", shifted([400, 0]), "column=centre_x"),
        ("landmarks", shifted([0, -300]), "column=centre_y"),
    ],
)
def test_landmark_fault_is_named_with_its_row(tmp_path, column, value, named):
    table = faces()
    table.at[3, column] = value
    with pytest.raises(InputError, match=named) as caught:
        quality.check_landmarks(table, NONE_REJECTED, LANDMARKS, tmp_path / "verdict.json")
    assert table["path"].iloc[3] in str(caught.value) and "\n" not in str(caught.value)


def test_one_face_upside_down_is_let_pass_and_two_are_not(tmp_path):
    table = faces()
    table.at[0, "landmarks"] = shifted([0, 0], -1)
    quality.check_landmarks(table, NONE_REJECTED, LANDMARKS, tmp_path / "verdict.json")
    table.at[1, "landmarks"] = shifted([0, 0], -1)
    with pytest.raises(InputError, match=r"brows_above_chin.*2 of 20 rows: 00\.png, 01\.png"):
        quality.check_landmarks(table, NONE_REJECTED, LANDMARKS, tmp_path / "verdict.json")


def test_too_many_images_without_a_face(tmp_path):
    with pytest.raises(InputError, match=r"landmarks\.max_rejected allows 5\.00%"):
        quality.check_landmarks(faces(), rejected(2), LANDMARKS, tmp_path / "verdict.json")


def test_what_is_wrong_with_many_landmarks_stops_with_the_bound_the_count_and_three_rows():
    yaws = dict(zip(SLOTS, (0.0, -45.0, 45.0), strict=True))
    plan = pd.DataFrame(
        {
            "subject": [f"{number:03d}" for number in range(10)],
            "session": 1,
            "recording": 1,
            **{slot: [f"{number:02d}-{slot}" for number in range(10)] for slot in SLOTS},
            **{f"yaw_{slot}": yaw for slot, yaw in yaws.items()},
        }
    )
    good = {
        f"{number:02d}-{slot}": photograph(person(number), yaws[slot], 1.5, number)
        for number in range(10)
        for slot in SLOTS
    }
    limits = bounds(LANDMARKS.gates)
    quality.check_gates(measure(found_table(good), plan, head(), LANDMARKS.gates), limits, LANDMARKS)
    lie = {path: points if path < "02" else photograph(person(3), 0) for path, points in good.items()}
    with pytest.raises(InputError, match=r"parquet: expect_column_values_to_be_null\(column=same_as") as caught:
        quality.check_gates(measure(found_table(lie), plan, head(), LANDMARKS.gates), limits, LANDMARKS)
    assert "by 24 of 30 rows: 02-frontal, 02-left, 02-right, ..." in str(caught.value)
    template = {path: photograph(person(3), yaws[path[3:]], 0.1, number) for number, path in enumerate(good)}
    with pytest.raises(InputError, match=r"column=spread, min_value=0\.015.* by 30 of 30 rows"):
        quality.check_gates(measure(found_table(template), plan, head(), LANDMARKS.gates), limits, LANDMARKS)
    mirrored = {path: points * [-1, 1] for path, points in good.items()}
    with pytest.raises(InputError, match=r"column=facing, min_value=-0\.35, mostly=0\.95\).* by 30 of 30 rows"):
        quality.check_gates(measure(found_table(mirrored), plan, head(), LANDMARKS.gates), limits, LANDMARKS)


# ---------------------------------------------------------------------------------------------------------- triplets
def test_good_triplets_pass(tmp_path):
    write_shards(tmp_path / "shards", [triplet(0, "001"), triplet(1, "002")], [triplet(2, "003")])
    none = lost_triplets(0)
    quality.check_triplets(tmp_path / "shards", none, TRIPLETS, tmp_path / "verdict.json")
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert (verdict["rows"], verdict["train"], verdict["val"], verdict["reasons"]) == (3, 2, 1, {})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"triplet": 0}, "values_to_be_unique"),
        ({"subject": "003"}, "splits_of_subject"),
        ({"yaw_left": 15.0}, "yaw_left"),
        ({"yaw_right": 0.0}, "yaw_right"),
        ({"yaw_frontal": 15.0}, "yaw_frontal"),
        ({"image_left": b""}, "bytes_left"),
        ({"landmarks_right": [3.0] * 136}, "reach_right"),
        ({"landmarks_right": [float("nan")] * 136}, "reach_right"),
        ({f"path_{slot}": f"0-{slot}.png" for slot in SLOTS}, "compound_columns_to_be_unique"),
    ],
)
def test_triplet_fault_is_named(tmp_path, changes, named):
    train = [triplet(0, "001"), triplet(1, "002", **changes)]
    write_shards(tmp_path / "shards", train, [triplet(2, "003")])
    with pytest.raises(InputError, match=named) as caught:
        quality.check_triplets(tmp_path / "shards", lost_triplets(0), TRIPLETS, tmp_path / "verdict.json")
    assert str(caught.value).startswith("data/triplets: ") and "\n" not in str(caught.value)


def test_too_many_lost_triplets(tmp_path):
    write_shards(tmp_path / "shards", [triplet(n, "001") for n in range(8)], [triplet(9, "003")])
    quality.check_triplets(tmp_path / "shards", lost_triplets(1), TRIPLETS, tmp_path / "verdict.json")
    with pytest.raises(InputError, match=r"2 of 11 rows: 100: left view.*triplets\.max_rejected"):
        quality.check_triplets(tmp_path / "shards", lost_triplets(2), TRIPLETS, tmp_path / "verdict.json")


def test_importing_the_suites_leaves_the_environment_alone():
    """But for the paths that OpenCV sets for its windows."""
    code = "import os, cv2; before = dict(os.environ); import mfnet.datasets.quality; assert dict(os.environ) == before"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_great_expectations_sends_nothing_home(monkeypatch):
    monkeypatch.delenv("GX_ANALYTICS_ENABLED", raising=False)
    assert quality._expectations().ExpectColumnValuesToBeUnique and os.environ["GX_ANALYTICS_ENABLED"] == "false"


# --------------------------------------------------------------------------------------------------------- Data Docs
def test_every_expectation_is_a_sentence_with_its_counts(tmp_path):
    quality.check_manifest(manifest(), rejected(2), 0.05, tmp_path / "ingest.json")
    docs = json.loads((tmp_path / "ingest_suite.json").read_text())
    assert len(docs) == json.loads((tmp_path / "ingest.json").read_text())["expectations_met"]
    assert {tuple(sorted(each)) for each in docs} == {("exceptions", "expectation", "file", "rows")}
    assert not any("$column" in each["expectation"] for each in docs)
    said = {each["expectation"]: each for each in docs}
    assert any("yaw" in sentence and "90" in sentence for sentence in said)
    assert docs[0]["rows"] == len(manifest()) and docs[0]["exceptions"] == 0
    assert docs[-1]["file"] == "data/multipie/rejected.parquet" and docs[-1]["exceptions"] == 2


def test_the_report_shows_all_three_suites_and_loads_nothing(tmp_path):
    from mfnet.report.contents import SUITES, docs_section
    from mfnet.report.page import write_page

    (tmp_path / "multipie").mkdir()
    entry = {"file": "data/a.parquet", "expectation": "yaw values must be <90", "rows": 7, "exceptions": 1}
    for stage in SUITES:
        (tmp_path / "multipie" / f"{stage}_suite.json").write_text(json.dumps([entry]))
    (tmp_path / "report").mkdir()
    write_page([docs_section(tmp_path)], "title", "subtitle", tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("yaw values must be &lt;90") == 3 and "http" not in page
