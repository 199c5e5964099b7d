"""Stages ingest, plan, landmarks, triplets one after another on a small archive of annotated pictures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from mfnet.datasets import multipie
from mfnet.flame import write_head
from mfnet.profiles import load_profile
from stages import common, ingest, landmarks, plan, triplets
from tests.datasets.conftest import png
from tests.heads import open_head
from tests.landmarks.faces import person, photograph

STAGES = (ingest, plan, landmarks, triplets)
CAMERAS = ("05_1", "19_0", "08_0", "19_1")
BROKEN = multipie.image_path("001", 1, 1, "19_1", 0)
NO_FACE = multipie.image_path("002", 1, 1, "08_0", 1)


def run(stage) -> None:
    common.run_stage(stage.run, common.stage_parser("test"), ["--params", "params.yaml"])


def set_param(section: str, key: str, value) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params[section][key] = value
    Path("params.yaml").write_text(yaml.safe_dump(params))


def outputs() -> dict[str, bytes]:
    files = [path for folder in ("multipie", "triplets") for path in Path("data", folder).rglob("*") if path.is_file()]
    return {path.as_posix(): path.read_bytes() for path in sorted(files)}


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    """A folder with params.yaml, the head and an archive: annotations beside the pictures, three planted faults."""
    monkeypatch.chdir(tmp_path)
    params = load_profile(Path(__file__).parents[2] / "params" / "tiny.yaml").model_dump(mode="json")
    params["source"] |= {"multipie": "archive", "archive_listing": "archive"}
    params["plan"] |= {"triplets": 24, "reserve": 0.0, "same_illumination": False}
    params["landmarks"] |= {"backend": "annotations", "max_rejected": 0.2}
    params["landmarks"]["gates"]["second_look"] = None  # there is no face in the pictures, and no network
    params["triplets"]["max_rejected"] = 0.5
    params["compute"] |= {"executor": "serial", "workers": 1}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    write_head(open_head(), "data/head/head.npz")
    for number in range(3 * len(CAMERAS) * 2):
        subject, (camera, illumination) = number // 8 + 1, np.unravel_index(number % 8, (len(CAMERAS), 2))
        path = Path("archive", multipie.image_path(f"{subject:03d}", 1, 1, CAMERAS[camera], illumination))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
        if path.as_posix() != f"archive/{NO_FACE}":
            yaw = multipie.YAW.get(CAMERAS[camera], 45.0)  # no source states a ceiling camera's
            np.save(path.with_suffix(".npy"), photograph(person(subject), yaw, 1.0, number))
    Path("archive", BROKEN).write_bytes(png(0)[:300])
    Path("archive", "Thumbs.db").touch()
    return tmp_path


def test_from_archive_to_shards(workspace):
    for stage in STAGES:
        run(stage)
    rejected = pd.read_parquet("data/multipie/rejected.parquet").set_index("path")["reason"]
    assert rejected.to_dict() == {BROKEN: "broken PNG: truncated", "Thumbs.db": "stray file"}
    faceless = pd.read_parquet("data/multipie/landmarks_rejected.parquet")
    assert faceless.to_dict("records") == [{"path": NO_FACE, "reason": "no annotation file"}]
    lost = pd.read_parquet("data/multipie/triplets_rejected.parquet")
    assert set(lost["reason"]) == {f"left view without landmarks: {NO_FACE}"} and len(lost) == 4
    rows = pd.concat([pd.read_parquet(path) for path in Path("data/triplets").iterdir()])
    assert len(rows) + len(lost) == 3 * 2 * 2 * 2
    first, kept = outputs(), sorted(Path(".mfnet/landmarks").iterdir())
    assert len(kept) == 1
    for stage in STAGES:
        run(stage)
    assert outputs() == first and sorted(Path(".mfnet/landmarks").iterdir()) == kept


def test_a_reserve_makes_up_for_what_is_lost(workspace):
    set_param("plan", "triplets", 16)
    set_param("plan", "reserve", 0.5)
    for stage in STAGES:
        run(stage)
    lost = pd.read_parquet("data/multipie/triplets_rejected.parquet")
    rows = pd.concat([pd.read_parquet(path) for path in Path("data/triplets").iterdir()])
    assert len(lost) > 0 and len(rows) == 16


def test_landmarks_of_nobody_stop_the_stage_and_leave_nothing_new(workspace):
    for stage in STAGES:
        run(stage)
    before = outputs()
    for path in Path("archive").rglob("*.npy"):
        np.save(path, [640, 0] + np.load(path) * [-1, 1])
    with pytest.raises(
        SystemExit, match=r"landmarks\.parquet: expect_.*column=facing.* by 17 of 17 rows: session01"
    ) as e:
        run(landmarks)
    assert "\n" not in str(e.value) and outputs() == before


def test_one_image_with_the_landmarks_of_nobody_is_a_rejected_row(workspace):
    run(ingest)
    run(plan)
    path = Path("archive", multipie.image_path("003", 1, 1, "19_0", 0)).with_suffix(".npy")
    np.save(path, [640, 0] + np.load(path) * [-1, 1])
    run(landmarks)
    rejected = pd.read_parquet("data/multipie/landmarks_rejected.parquet").set_index("path")["reason"]
    assert "mirrored order" in rejected[path.with_suffix(".png").relative_to("archive").as_posix()]


def test_a_failing_suite_leaves_nothing_new(workspace, capsys):
    set_param("triplets", "max_rejected", 0.05)
    for stage in STAGES[:3]:
        run(stage)
    before = outputs()
    with pytest.raises(SystemExit, match=r"triplets\.max_rejected allows 5\.00%") as caught:
        run(triplets)
    assert "\n" not in str(caught.value) and outputs() == before


def test_landmarks_of_a_failing_suite_are_not_lost(workspace, monkeypatch):
    set_param("landmarks", "max_rejected", 0.0)
    run(ingest)
    run(plan)
    with pytest.raises(SystemExit, match=r"landmarks\.max_rejected allows 0\.00%"):
        run(landmarks)
    monkeypatch.setattr("mfnet.landmarks.backends.AnnotationBackend.detect", None)  # looking again would be an error
    set_param("landmarks", "max_rejected", 0.2)
    run(landmarks)
    assert len(pd.read_parquet("data/multipie/landmarks.parquet")) == 17


@pytest.mark.parametrize("stage", STAGES[1:], ids=lambda stage: stage.__name__)
def test_missing_input_is_one_line(workspace, stage):
    with pytest.raises(SystemExit, match=r"data/multipie/\w+\.parquet: no such file") as caught:
        run(stage)
    assert "\n" not in str(caught.value) and outputs() == {}


def test_empty_archive_is_one_line(workspace):
    set_param("source", "multipie", "empty")
    Path("empty").mkdir()
    with pytest.raises(SystemExit, match=r"source\.multipie: empty: .*it is empty") as caught:
        run(ingest)
    assert "\n" not in str(caught.value) and outputs() == {}
