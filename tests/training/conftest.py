"""A training set of rendered people in shards, small weights to start from, and params for it."""

import zlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from mfnet.datasets.plan import SLOTS
from mfnet.io.tensors import write_tensors
from mfnet.model.pretrained import PretrainedNetwork, save_pretrained
from mfnet.params import Params
from mfnet.profiles import load_profile
from mfnet.synthetic.sampler import CropFormat, Sample, Sampler
from mfnet.synthetic.subjects import texture_pool
from mfnet.training.loop import TrainingFiles
from tests.heads import open_flame
from tests.settings import CROP_SCALE, EMBEDDED

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def flame():
    return open_flame()


def changed(params: Params, **sections: dict) -> Params:
    """Params with keys of some sections changed."""
    return params.model_copy(
        update={name: getattr(params, name).model_copy(update=keys) for name, keys in sections.items()}
    )


@pytest.fixture
def params() -> Params:
    """The tests' params at a quarter of the network's width: 6 steps of 2 triplets in two epochs."""
    tiny = load_profile(ROOT / "params" / "tiny.yaml")
    train = {"epochs": 2, "batch_size": 2, "threads": 1, "checkpoint_steps": 2, "warmup_steps": 1}
    return changed(tiny, model={"width": 0.25}, train=train)


def write_shard(sample: Sample, first: int, path: Path) -> None:
    """A shard of the sample's triplets, numbered from `first`."""
    count = len(sample.images)
    table = {"triplet": range(first, first + count), "subject": [f"{first + i:03d}" for i in range(count)]}
    for view, slot in enumerate(SLOTS):
        images = sample.images[:, view].permute(0, 2, 3, 1).numpy()[..., ::-1]
        table[f"image_{slot}"] = [cv2.imencode(".png", image)[1].tobytes() for image in images]
        table[f"checksum_{slot}"] = [zlib.crc32(image) for image in table[f"image_{slot}"]]
        table[f"landmarks_{slot}"] = list(sample.landmarks[:, view].flatten(1).numpy())
        table[f"yaw_{slot}"] = sample.yaw[:, view].tolist()
    pd.DataFrame(table).to_parquet(path, row_group_size=4, index=False)


@pytest.fixture(scope="session")
def data(flame, tmp_path_factory) -> Path:
    """A folder with shards of 7 and 3 rendered triplets and the weights to start from."""
    folder = tmp_path_factory.mktemp("data")
    crop = CropFormat(128, CROP_SCALE, 2)
    sampler = Sampler(flame, texture_pool(flame, 2, 128, seed=0), crop, EMBEDDED.sampler)
    write_shard(sampler.sample(np.random.default_rng(0), 7), 0, folder / "train-00000.parquet")
    write_shard(sampler.sample(np.random.default_rng(1), 3), 7, folder / "val-00000.parquet")
    torch.manual_seed(0)
    model = load_profile(ROOT / "params" / "tiny.yaml").model.model_copy(update={"width": 0.25})
    save_pretrained(PretrainedNetwork(model, flame, CROP_SCALE), folder / "encoder.safetensors", half=False)
    write_tensors({}, folder / "flow.safetensors", {"kind": "flow", "estimator": "dis"})
    return folder


@pytest.fixture
def inputs(data) -> TrainingFiles:
    names = ("train-00000.parquet", "val-00000.parquet", "encoder.safetensors", "flow.safetensors")
    train, val, encoder, flow = (data / name for name in names)
    return TrainingFiles([train], [val], encoder, flow)
