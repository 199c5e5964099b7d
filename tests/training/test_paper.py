"""The paper's settings, unchanged but for size, on synthetic photographs in Multi-PIE's layout: three steps."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mfnet.datasets.multipie import HEIGHT, WIDTH
from mfnet.datasets.plan import plan_triplets
from mfnet.datasets.scan import scan
from mfnet.datasets.shards import CropSpec, write_shards
from mfnet.flow import raft, raft_state
from mfnet.geometry import PinholeCamera, project_perspective
from mfnet.geometry.conventions import VIEW_TO_OPENCV
from mfnet.io.tensors import write_tensors
from mfnet.landmarks.backends import AnnotationBackend
from mfnet.landmarks.table import Folders, find_landmarks
from mfnet.model.deca import pretrained_from_deca
from mfnet.model.mfnet import load_mfnet
from mfnet.model.pretrained import save_pretrained
from mfnet.params import Params
from mfnet.profiles import load_profile
from mfnet.synthetic.atlas import head_atlas
from mfnet.synthetic.capture.multipie import CapturePlan, write_subject
from mfnet.training.loop import TrainingFiles, train
from tests.model.test_deca import PlainDeca
from tests.training.conftest import ROOT, changed

SIZE = 128
"""RAFT's least image; the paper's is 224."""


@pytest.fixture(scope="module")
def paper() -> Params:
    """params/paper.yaml with three training triplets, one a step, of small crops."""
    params = load_profile(ROOT / "params" / "paper.yaml")
    return changed(
        params,
        plan={"triplets": 6, "validation_share": 0.5},
        triplets={"image_size": SIZE, "rows_per_shard": 8, "rows_per_group": 4},
        train={"epochs": 1, "batch_size": 1},
    )


@pytest.fixture(scope="module")
def archive(flame, tmp_path_factory) -> Path:
    """Two people in Multi-PIE's layout, with the true landmarks as annotation files beside the images."""
    root = tmp_path_factory.mktemp("multipie")
    atlas = head_atlas(flame, 256)
    for number in (1, 2):
        for row in write_subject(flame, atlas, root, number, CapturePlan([(1, 1)], [7], seed=0, population={})):
            np.save((root / row["path"]).with_suffix(".npy"), true_landmarks(flame, row))
    return root


def true_landmarks(flame, row: dict) -> np.ndarray:
    """Pixels [68, 2] of a photograph's landmarks."""
    codes = (torch.tensor([row[name]], dtype=torch.float32) for name in ("shape", "expression", "global_pose"))
    jaw = torch.tensor([row["jaw_pose"]], dtype=torch.float32)
    points = flame(*codes, jaw_pose=jaw).landmarks.double()
    K, R = torch.tensor(row["intrinsics"]).double().view(1, 3, 3), torch.from_numpy(VIEW_TO_OPENCV)[None]
    camera = PinholeCamera(K, R, torch.tensor([row["translation"]]).double(), WIDTH, HEIGHT, 0.1, 10.0)
    return project_perspective(points, camera)[0][0].numpy()


@pytest.fixture(scope="module")
def licensed(paper, flame, tmp_path_factory) -> Path:
    """Random weights in the official formats, brought in as the stage `weights` does."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    deca = PlainDeca()
    torch.nn.init.normal_(deca.layers[2].weight, std=1e-4)
    torch.nn.init.zeros_(deca.layers[2].bias)
    deca.layers[2].bias.data[206 + 0] = 8.0  # camera scale: a head that fills the crop
    torch.save({"E_flame": deca.state_dict()}, folder / "deca_model.tar")
    save_pretrained(
        pretrained_from_deca(folder / "deca_model.tar", paper.model, flame), folder / "encoder.safetensors", half=False
    )
    network = raft("raft_large")
    torch.nn.init.normal_(network.update_block.flow_head.conv2.weight, std=1e-5)  # calibration refuses wild flow
    torch.nn.init.zeros_(network.update_block.flow_head.conv2.bias)
    torch.save(network.state_dict(), folder / "raft.pth")
    state = raft_state("raft_large", folder / "raft.pth")
    write_tensors(state, folder / "flow.safetensors", {"kind": "flow", "estimator": "raft_large"})
    return folder


@pytest.mark.slow
def test_three_steps_of_the_papers_settings(paper, flame, archive, licensed, tmp_path):
    manifest, _ = scan(archive)
    assert len(manifest) == 30
    plan = plan_triplets(manifest, paper.plan)
    landmarks, lost = find_landmarks(
        plan, Folders(archive, tmp_path / "scratch"), AnnotationBackend(str(archive)), paper.landmarks
    )
    assert len(lost) == 0
    shards = tmp_path / "triplets"
    shards.mkdir()
    write_shards(plan, landmarks, CropSpec(str(archive), paper.triplets, paper.plan.seed), shards)
    split = {name: sorted(shards.glob(f"{name}-*.parquet")) for name in ("train", "val")}
    inputs = TrainingFiles(
        split["train"], split["val"], licensed / "encoder.safetensors", licensed / "flow.safetensors"
    )
    metrics = train(paper, flame, inputs, tmp_path / "out", tmp_path / "kept")
    history = pd.read_parquet(tmp_path / "out" / "history.parquet")
    assert len(history) == metrics["steps"] == 3
    assert np.isfinite(history[["total", "flow", "landmarks", "eye", "lip", "regularisation", "grad_norm"]]).all(None)
    assert history["lr"].eq(1e-3).all() and history["share/flow"].iloc[0] > 0  # through RAFT into the render
    assert load_mfnet(tmp_path / "out" / "model.safetensors", flame).params == paper.model
