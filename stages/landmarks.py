"""Stage ``landmarks``: 68 points of every planned image."""

import shutil
from argparse import Namespace

from mfnet.compute.executor import Compute
from mfnet.io.files import read_table, write_table
from mfnet.landmarks.backends import make_backend
from mfnet.landmarks.table import find_landmarks
from mfnet.params import Params
from mfnet.tracking import Run
from stages.common import run_stage, stage_parser

SCRATCH = ".mfnet/landmarks"
"""What a run has found so far; the next one goes on from it."""


def run(params: Params, args: Namespace, record: Run) -> None:
    from mfnet.datasets import quality

    plan = read_table("data/multipie/plan.parquet")
    backend = make_backend(params.landmarks, params.source.multipie, "data/pretrained/landmarks.safetensors")
    compute = Compute.of(params.compute)
    found, rejected = find_landmarks(plan, params.source.multipie, backend, params.landmarks, SCRATCH, compute)
    quality.check_landmarks(found, rejected, params.landmarks, "data/multipie/landmarks.json")
    write_table(found, "data/multipie/landmarks.parquet")
    write_table(rejected, "data/multipie/landmarks_rejected.parquet")
    shutil.rmtree(SCRATCH)


if __name__ == "__main__":
    run_stage(run, stage_parser(__doc__))
