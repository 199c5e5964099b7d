"""Stage ``capture``: virtual photo sessions in Multi-PIE's and FaceScape's layouts."""

import stages.portable  # noqa: F401

# isort: split

from argparse import Namespace

from mfnet.compute.executor import Compute
from mfnet.params import Params
from mfnet.synthetic.capture.archives import HeadFile, capture
from mfnet.tracking import Run
from stages.common import run_stage, stage_parser


def run(params: Params, args: Namespace, record: Run) -> None:
    """Write ``data/raw/multipie``, ``data/raw/facescape`` and ``data/raw/truth.parquet``."""
    head = HeadFile("data/head/head.npz", params.flame.n_shape, params.flame.n_expression)
    capture(head, params.capture, Compute.of(params.compute), "data/raw")


if __name__ == "__main__":
    run_stage(run, stage_parser(__doc__))
