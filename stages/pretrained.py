"""Stage ``pretrained@<network>``: the weights of one of the three pre-trained networks, and their figures."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch

from mfnet.flame import load_project_head
from mfnet.io.files import write_json
from mfnet.params import Params
from mfnet.pretraining.weights import NETWORKS, make_weights
from mfnet.tracking import Run
from stages.common import run_stage, stage_parser


def run(params: Params, args: Namespace, record: Run) -> None:
    """Write ``data/pretrained/<network>.safetensors`` and ``.json``."""
    torch.set_num_threads(params.train.threads)
    flame = load_project_head("data/head", params.flame)
    out = Path("data/pretrained") / f"{args.network}.safetensors"
    figures = make_weights(args.network, params, flame, out)
    write_json(figures, out.with_suffix(".json"))


def parser() -> ArgumentParser:
    """The stage's command line."""
    each = stage_parser(__doc__)
    each.add_argument("network", choices=NETWORKS)
    return each


if __name__ == "__main__":
    run_stage(run, parser())
