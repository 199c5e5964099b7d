"""Shipping weights with the package: the file that a recipe made here, and a card that says what it is."""

from pathlib import Path

import mfnet.nets
from mfnet.files import atomic_path
from mfnet.nets.tensors import head_metadata
from mfnet.params import Params
from mfnet.training.weights import copy

SUMMARY = {
    "encoder": "Start of MFNet: one trunk, a per-view regressor, fused regressors for 1, 2, 3 views and for sets.",
    "flow": "torchvision's RAFT, trained from scratch on rendered pairs with exact flow.",
    "landmarks": "The embedded landmark network: 68 heat maps of a 128 px crop.",
}
DATA = "Renders of random heads by `mfnet.synthetic.sampler` only: no photograph, no licensed file."


def bundle(network: str, params: Params, flame, made: Path, figures: dict) -> None:
    """Copy the file `made` by stage ``weights`` into the package and write its card beside it."""
    folder = Path(mfnet.nets.__file__).parent / "bundled"
    copy(made, folder / made.name)
    with atomic_path(folder / f"{network}.md") as beside:
        beside.write_text(card(network, params, flame, figures), encoding="utf-8")


def card(network: str, params: Params, flame, figures: dict) -> str:
    """The card of a network that was trained by its recipe, in Markdown."""
    recipe, head = getattr(params.weights, network), head_metadata(flame)
    facts = {
        "data": DATA,
        "recipe": f"`mfnet/training/pretrain_{network}.py`, {recipe.steps} steps, seed {recipe.seed}",
        "head": f"SHA-256 {head['head_hash']}; {head['n_shape']} shape, {head['n_expression']} expression coefficients",
        "made by": f"`python -m stages.weights {network} --bundle` with `weights.{network}.source: train`",
    }
    lines = [f"# {network}.safetensors", "", SUMMARY[network], ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", "Held-out people, skins and lights:", "", "| figure | value |", "| --- | --- |"]
    lines += [f"| {name} | {value:.3f} |" for name, value in figures.items() if isinstance(value, float)]
    return "\n".join(lines) + "\n"
