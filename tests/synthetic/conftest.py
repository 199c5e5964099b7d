"""The open head, its atlas, and one small capture, for the tests of the synthetic room."""

from pathlib import Path

import pytest
import torch

from mfnet.compute.executor import SERIAL
from mfnet.flame import Flame, write_head
from mfnet.params import CaptureParams
from mfnet.synthetic.atlas import HeadAtlas, head_atlas
from mfnet.synthetic.capture.archives import HeadFile, capture
from mfnet.synthetic.subjects import texture_pool
from tests.heads import open_flame, open_head

SMALL = CaptureParams(
    enabled=True,
    seed=1,
    subjects=1,
    recordings=[(1, 2)],
    illuminations=[0, 1],
    wild_per_bin=1,
    lab_subjects=1,
    populations={"everyone": {}, "elders": {"age": (60, 80)}},
    population="elders",
    benchmark_population="everyone",
)


@pytest.fixture(scope="session")
def arrays():
    return open_head()


@pytest.fixture(scope="session")
def flame() -> Flame:
    return open_flame()


@pytest.fixture(scope="session")
def atlas(flame) -> HeadAtlas:
    return head_atlas(flame, 128)


@pytest.fixture(scope="session")
def textures(flame) -> torch.Tensor:
    return texture_pool(flame, 3, 128, seed=5)


@pytest.fixture(scope="session")
def head_files(arrays, tmp_path_factory) -> HeadFile:
    path = tmp_path_factory.mktemp("head") / "head.npz"
    write_head(arrays, path)
    return HeadFile(str(path), 100, 50)


@pytest.fixture(scope="session")
def captured(head_files, tmp_path_factory) -> Path:
    """A capture of one subject, four wild items and one lab subject."""
    threads = torch.get_num_threads()
    folder = tmp_path_factory.mktemp("raw")
    capture(head_files, SMALL, SERIAL, folder)
    torch.set_num_threads(threads)
    return folder
