"""Two processes under torchrun: they share the batches, agree on the weights, and the first one writes."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from mfnet.datasets.triplets import TripletShards
from mfnet.model.mfnet import load_mfnet
from mfnet.training.distributed import Process
from mfnet.training.loop import epoch_rows, steps_of_epoch
from tests.conftest import HANGS
from tests.training.conftest import ROOT

PROGRAM = """
import pickle, sys
from pathlib import Path
from mfnet.training.loop import train
from tests.heads import open_flame
params, inputs, out = pickle.loads(Path(sys.argv[1]).read_bytes())
train(params, open_flame(), inputs, out, out.parent / "kept")
"""


def test_processes_split_each_step_between_them(params, inputs):
    triplets, alone = TripletShards(inputs.shards), Process(0, 1, "cpu")
    train = params.train.model_copy(update={"batch_size": 1})
    halves = [epoch_rows(triplets, train, 0, Process(rank, 2, "cpu")) for rank in (0, 1)]
    whole = epoch_rows(triplets, train, 0, alone)
    assert [len(half) for half in halves] == [3, 3] and len(whole) == 7
    woven = [row.tolist() for pair in zip(*halves, strict=True) for row in pair]
    assert woven == [row.tolist() for row in whole[:6]]


class Order:
    """Triplets in a known order."""

    def __init__(self, count):
        self.count = count

    def order(self, seed, epoch):
        return np.stack([np.arange(self.count)] * 2, 1)


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [4, 16])
def test_less_than_a_batch_is_left_out_and_nothing_is_read_twice(params, world, size):
    train = params.train.model_copy(update={"batch_size": size})
    for count in range(size, 3 * size * world + 5):
        parts = [epoch_rows(Order(count), train, 0, Process(rank, world, "cpu")) for rank in range(world)]
        assert {tuple(map(len, part)) for part in parts} == {tuple(map(len, parts[0]))}
        assert len(parts[0]) == steps_of_epoch(count, size, world)
        read = [triplet for part in parts for rows in part for triplet in rows[:, 0].tolist()]
        assert len(read) == len(set(read)) and count - len(read) < max(size, world)


@pytest.mark.slow
def test_torchrun_trains_one_model(params, flame, inputs, tmp_path):
    import pickle

    program, job = tmp_path / "program.py", tmp_path / "job.pickle"
    program.write_text(PROGRAM)
    params = params.model_copy(update={"train": params.train.model_copy(update={"batch_size": 1, "epochs": 1})})
    job.write_bytes(pickle.dumps((params, inputs, tmp_path / "out")))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", program, job]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == 0, done.stderr[-3000:]
    history = pd.read_parquet(tmp_path / "out" / "history.parquet")
    assert len(history) == 3  # 7 triplets, 2 processes of 1 each
    load_mfnet(tmp_path / "out" / "model.safetensors", flame)
