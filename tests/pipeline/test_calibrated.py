"""The data stages and a short training on made archives of NeRSemble, Multiface and FaceScape, and on spoilt ones."""

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from mfnet.datasets.calibrated import LAYOUTS
from mfnet.datasets.plan import SLOTS
from mfnet.datasets.triplets import TripletShards
from mfnet.flame import Flame, write_head
from mfnet.io.tensors import write_tensors
from mfnet.model.pretrained import PretrainedNetwork, save_pretrained
from mfnet.profiles import load_profile
from mfnet.synthetic.atlas import head_atlas
from mfnet.weights import bundled
from stages import common, ingest, landmarks, plan, train, triplets
from tests.calibrated import RECONSTRUCTION, image_file, photograph, rig, sitting, write_archive, write_calibration
from tests.conftest import HANGS
from tests.heads import open_flame, open_head
from tests.settings import CROP_SCALE

ROOT = Path(__file__).parents[2]
DATA = (ingest, plan, landmarks, triplets)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(6 * HANGS)]


@cache
def studio() -> tuple[Flame, dict]:
    """The head, and the photographs that were drawn already, by subject and camera."""
    return open_flame(), {}


def drawn(number: int, camera) -> np.ndarray:
    """The photograph of a subject by a camera; every layout shows the same ones."""
    flame, images = studio()
    if "atlas" not in images:
        images["atlas"] = head_atlas(flame, 128)
    if (number, camera.name) not in images:
        if number not in images:
            images[number] = sitting(flame, number, images["atlas"])
        images[number, camera.name] = photograph(flame, images[number], camera, number)
    return images[number, camera.name]


def run(stage) -> None:
    vary = {"vary": train.vary} if stage is train else {}
    parser = common.stage_parser("test")
    parser.set_defaults(variant=None, seed=None)
    common.run_stage(stage.run, parser, ["--params", "params.yaml"], **vary)


@pytest.fixture(params=LAYOUTS)
def workspace(request, tmp_path, monkeypatch) -> str:
    """A folder with an archive, its profile at the size of a test, and the landmark network; the layout."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    layout = request.param
    write_archive(Path("archive"), layout, drawn)
    params = load_profile(ROOT / "params" / f"{layout}.yaml").model_dump(mode="json")
    params["source"] |= {"multipie": "archive", "archive_listing": "archive", "anchor": None}
    params["plan"] |= {"triplets": 24, "reserve": 0.0, "validation_share": 0.25, "min_side_yaw": 15.0}
    params["landmarks"] |= {"backend": "network", "max_rejected": 0.2}
    params["model"] |= {"width": 0.25}
    params["loss"] |= {"flow_estimator": "dis"}
    params["train"] |= {"batch_size": 4, "epochs": 1, "supervision": None, "warmup_steps": 1, "threads": 1}
    params["compute"] |= {"executor": "serial", "workers": 1}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    write_head(open_head(), "data/head/head.npz")
    Path("data/pretrained").mkdir()
    shutil.copy(bundled("landmarks"), "data/pretrained/landmarks.safetensors")
    return layout


def make_starts() -> None:
    """Weights of the other networks that training starts from."""
    torch.manual_seed(0)
    network = PretrainedNetwork(load_profile("params.yaml").model, open_flame(), CROP_SCALE)
    save_pretrained(network, Path("data/pretrained/encoder.safetensors"), half=False)
    write_tensors({}, "data/pretrained/flow.safetensors", {"kind": "flow", "estimator": "dis"})


def test_from_a_calibrated_archive_to_a_trained_network(workspace):
    for stage in DATA:
        run(stage)
    found = pd.read_parquet("data/multipie/landmarks.parquet")
    assert len(found) >= 20 and found["reprojection"].max() < 0.04
    length = RECONSTRUCTION if workspace == "facescape" else 1.0
    assert found["unit"].between(0.8 * length, 1.2 * length).all()
    shards = TripletShards(sorted(Path("data/triplets").glob("train-*.parquet")))
    (batch,) = shards.batches([shards.order(None)])
    assert shards.calibrated and len(batch.triplet) >= 8
    check_cameras_see_one_head(batch)
    make_starts()
    run(train)
    history = pd.read_parquet("data/train/history.parquet")
    assert len(history) >= 2 and np.isfinite(history["total"]).all()
    assert Path("data/train/model.safetensors").is_file()


def check_cameras_see_one_head(batch) -> None:
    """The eyes' corners, triangulated by the crops' own cameras, lie where the crops show them."""
    cameras = batch.cameras
    focal, rotation, translation = (
        value.double().numpy() for value in (cameras.focal, cameras.rotation, cameras.translation)
    )
    points = batch.landmarks.double().numpy()[:, :, [36, 39, 42, 45]]
    for item in range(len(points)):
        for corner in range(4):
            rows, right = [], []
            for view in range(len(SLOTS)):
                ray = np.append(points[item, view, corner] / focal[item, view], -1.0)
                across = np.eye(3) - np.outer(ray, ray) / (ray @ ray)
                rows.append(across @ rotation[item, view])
                right.append(-across @ translation[item, view])
            place = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0]
            for view in range(len(SLOTS)):
                seen = rotation[item, view] @ place + translation[item, view]
                image = focal[item, view] * seen[:2] / -seen[2]
                assert seen[2] < -0.5 and np.abs(image - points[item, view, corner]).max() < 0.06


def test_training_says_where_cameras_are_missing(workspace):
    if workspace != "nersemble":
        pytest.skip("one layout will do")
    for stage in DATA:
        run(stage)
    for path in Path("data/triplets").iterdir():
        table = pd.read_parquet(path)
        table.drop(columns=[name for name in table if name[:2] in ("K_", "R_", "t_")]).to_parquet(path, index=False)
    make_starts()
    with pytest.raises(SystemExit, match=r"loss\.cameras: known, but the triplets have no cameras"):
        run(train)


@pytest.mark.parametrize("fault", ["millimetres", "focal length"])
def test_a_planted_error_stops_the_landmarks_in_one_line(workspace, fault):
    if workspace == "facescape" and fault == "millimetres":
        pytest.skip("its unit is arbitrary")
    from tests.landmarks.test_calibration import in_millimetres, zoomed

    spoil = in_millimetres if fault == "millimetres" else zoomed(1.5)
    for subject in ("017", "030", "110", "201"):
        write_calibration(workspace, Path("archive"), subject, spoil(rig()))
        assert image_file(workspace, Path("archive"), subject, rig()[0].name).is_file()
    for stage in DATA[:2]:
        run(stage)
    told = r"its unit is wrong: .* millimetres" if fault == "millimetres" else r"its K is wrong: with 0\.67 times"
    with pytest.raises(SystemExit, match=rf"{LAYOUTS[workspace].calibration}: {told}") as caught:
        run(landmarks)
    assert "\n" not in str(caught.value) and not Path("data/multipie/landmarks.parquet").exists()
