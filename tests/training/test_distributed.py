"""Two processes under torchrun: they share the batches, agree on the weights, and the first one writes."""

import os
import subprocess
import sys

import pandas as pd
import pytest

from mfnet.datasets.triplets import TripletShards
from mfnet.model.mfnet import load_mfnet
from mfnet.training.distributed import Process
from mfnet.training.loop import epoch_rows
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
