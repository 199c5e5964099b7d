"""Stage ``weights@<network>``: the weights of one of the three pre-trained networks, and their figures."""

from pathlib import Path

import torch

from mfnet.files import write_json
from mfnet.flame import load_flame
from mfnet.training.weights import NETWORKS, make_weights
from stages.common import run_stage, stage_parser

HEAD = [Path("data/head") / name for name in ("head.npz", "landmarks.npz", "template.obj")]


def run(params, args) -> None:
    """Write ``data/weights/<network>.safetensors`` and ``.json``."""
    torch.set_num_threads(params.train.threads)
    flame = load_flame(*HEAD, n_shape=params.head.n_shape, n_expression=params.head.n_expression)
    out = Path("data/weights") / f"{args.network}.safetensors"
    write_json(make_weights(args.network, params, flame, out), out.with_suffix(".json"))


def parser():
    """The stage's command line."""
    each = stage_parser(__doc__)
    each.add_argument("network", choices=NETWORKS)
    return each


if __name__ == "__main__":
    run_stage(run, parser())
