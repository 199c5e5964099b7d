"""Stage ``weights@<network>``: the weights of one of the three pre-trained networks, and their figures."""

from pathlib import Path

import torch

from mfnet.files import write_json
from mfnet.flame import load_project_head
from mfnet.training.bundle import bundle
from mfnet.training.weights import NETWORKS, make_weights
from stages.common import run_stage, stage_parser


def run(params, args) -> None:
    """Write ``data/weights/<network>.safetensors`` and ``.json``."""
    torch.set_num_threads(params.train.threads)
    flame = load_project_head("data/head", params.head)
    out = Path("data/weights") / f"{args.network}.safetensors"
    figures = make_weights(args.network, params, flame, out)
    write_json(figures, out.with_suffix(".json"))
    if args.bundle:
        bundle(args.network, params, flame, out, figures)


def parser():
    """The stage's command line."""
    each = stage_parser(__doc__)
    each.add_argument("network", choices=NETWORKS)
    each.add_argument("--bundle", action="store_true", help="also ship the result with the package, with its card")
    return each


if __name__ == "__main__":
    run_stage(run, parser())
