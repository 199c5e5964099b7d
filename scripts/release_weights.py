"""Ship what stage ``pretrained`` made with the package: copy the file and write its model card.

    python scripts/release_weights.py encoder

Run it in the repository's root after ``dvc repro pretrained@encoder`` with ``pretrained.encoder.source: train``.
"""

import argparse
import json
import sys
from pathlib import Path

import mfnet.weights
from mfnet.errors import InputError
from mfnet.flame import load_project_head
from mfnet.io.files import atomic_path
from mfnet.io.tensors import head_metadata
from mfnet.params import Params, load_params
from mfnet.pretraining.weights import NETWORKS, copy

SUMMARY = {
    "encoder": "Start of MFNet: one trunk, a per-view regressor, fused regressors for 1, 2, 3 views and for sets.",
    "flow": "torchvision's RAFT, trained from scratch on rendered pairs with exact flow.",
    "landmarks": "The embedded landmark network: 68 heat maps of a 128 px crop.",
}
DATA = "Renders of random heads by `mfnet.synthetic.sampler` only: no photograph, no licensed file."


def release(network: str, params: Params, flame, made: Path) -> None:
    """Copy the weights `made` by stage ``pretrained`` into the package and write their card beside them.

    Raises InputError where they are missing or were not trained here.
    """
    measured = made.with_suffix(".json")
    for path in (made, measured):
        if not path.is_file():
            raise InputError(f"{path}: no such file; run `dvc repro pretrained@{network}` first")
    figures = json.loads(measured.read_text(encoding="utf-8"))
    if figures["source"] != "train":
        raise InputError(f"{measured}: source is {figures['source']}; only weights that were trained here are shipped")
    text, folder = card(network, params, flame, figures), Path(mfnet.weights.__file__).parent
    copy(made, folder / made.name)
    with atomic_path(folder / f"{network}.md") as beside:
        beside.write_text(text, encoding="utf-8")


def card(network: str, params: Params, flame, figures: dict) -> str:
    """The card of a network that was trained here, in Markdown.

    Raises InputError where `params` say nothing of a training.
    """
    config, head = getattr(params.pretrained, network), head_metadata(flame)
    if config.source != "train":
        raise InputError(
            f"pretrained.{network}.source: {config.source}; the card is of weights trained by these params"
        )
    facts = {
        "data": DATA,
        "recipe": f"`mfnet/pretraining/{network}.py`, {config.steps} steps, seed {config.seed}",
        "head": f"SHA-256 {head['head_hash']}; {head['n_shape']} shape, {head['n_expression']} expression coefficients",
        "made by": f"`python scripts/release_weights.py {network}` after `pretrained.{network}.source: train`",
        "licence": f"Apache-2.0, as the package. The head: {flame.provenance.licence}",
    }
    lines = [f"# {network}.safetensors", "", SUMMARY[network], ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", "Held-out people, skins and lights:", "", "| figure | value |", "| --- | --- |"]
    lines += [f"| {name} | {value:.3f} |" for name, value in figures.items() if isinstance(value, float)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Ship the weights that stage `pretrained` trained with the package.")
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--params", default="params.yaml", help="params file (default: %(default)s)")
    args = parser.parse_args()
    try:
        params = load_params(args.params)
        flame = load_project_head("data/head", params.flame)
        release(args.network, params, flame, Path("data/pretrained") / f"{args.network}.safetensors")
    except InputError as error:
        sys.exit(f"{parser.prog}: error: {error}")


if __name__ == "__main__":
    main()
