"""Stage ``landmarks``: 68 points of every planned image, and whether they can be those of its face."""

from argparse import Namespace

import pandas as pd

from mfnet.compute.executor import Compute
from mfnet.datasets.cameras import is_calibrated
from mfnet.datasets.multipie import HEIGHT, WIDTH
from mfnet.datasets.plan import SLOTS
from mfnet.flame import read_head
from mfnet.io.files import read_table, write_table
from mfnet.landmarks.backends import make_backend
from mfnet.landmarks.calibration import check_cameras
from mfnet.landmarks.gates import bounds, measure, sort_out
from mfnet.landmarks.rigid import mean_head
from mfnet.landmarks.table import Folders, find_landmarks
from mfnet.params import Params
from mfnet.tracking import Run
from stages.common import run_stage, stage_parser

KEPT = ".mfnet/landmarks"
"""What any run has found, by image."""
NETWORK = "data/pretrained/landmarks.safetensors"


def run(params: Params, args: Namespace, record: Run) -> None:
    from mfnet.datasets import quality

    plan = read_table("data/multipie/plan.parquet")
    wanted, archive = params.landmarks, params.source.multipie
    backend = make_backend(wanted, archive, NETWORK)
    head = mean_head(read_head("data/head/head.npz"))
    found, rejected = find_landmarks(plan, Folders(archive, KEPT), backend, wanted, Compute.of(params.compute), NETWORK)
    size = (WIDTH, HEIGHT)
    if is_calibrated(plan):
        found, disagreeing = check_cameras(found, plan, head, wanted, params.source.layout)
        rejected = pd.concat([rejected, disagreeing])
        width, height = (int(plan[[f"{side}_{slot}" for slot in SLOTS]].max().max()) for side in ("width", "height"))
        size = (width, height)
    measured = measure(found, plan, head, wanted.gates)
    gates = quality.check_gates(measured, bounds(wanted.gates), wanted)
    passed, failed = sort_out(measured, wanted.gates)
    rejected = pd.concat([rejected, failed]).sort_values("path", ignore_index=True)
    quality.check_landmarks(passed, rejected, wanted, "data/multipie/landmarks.json", gates, size)
    write_table(passed, "data/multipie/landmarks.parquet")
    write_table(rejected, "data/multipie/landmarks_rejected.parquet")


if __name__ == "__main__":
    run_stage(run, stage_parser(__doc__))
