"""Training RAFT on rendered pairs with exact flow: a head, and the same skin on a head that is a little wrong.

That is what eq. 6 compares: the render of a prediction, and a photograph. RAFT-small needs far more than five minutes
of two cores to become better than no flow at all, so measure before use: `measure_flow` puts any estimator beside
OpenCV's DIS flow and beside zero on held-out pairs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm

from mfnet.flame import Flame
from mfnet.nets.flow import DisFlow, RaftFlow, calibrate, end_point_error
from mfnet.synthetic.flow_pairs import FlowPairs, sample_flow_pairs
from mfnet.synthetic.sampler import Sampler
from mfnet.synthetic.subjects import texture_pool
from mfnet.training.pretrain_encoder import HELD_OUT, HELD_OUT_SKINS

SIDE = 128
"""Side of the pairs, pixels: the least that RAFT takes."""
BATCH = 8
"""Pairs that an estimator sees at once when it is measured."""


@dataclass(frozen=True)
class FlowRecipe:
    """The settings beside seed and steps (``params.weights.flow``)."""

    skins: int = 150
    """Skins shared among all subjects."""
    skin_size: int = 256
    """Side of a skin texture, pixels."""
    batch: int = 8
    """Pairs per step."""
    lr: float = 4e-4
    """Peak of a one-cycle schedule of AdamW."""
    weight_decay: float = 1e-4
    """Of AdamW."""
    updates: int = 6
    """RAFT's iterations in training."""
    decay: float = 0.8
    """Weight of each iteration's error against the next one's (RAFT's gamma)."""


def pretrain_flow(
    name: str, flame: Flame, seed: int, steps: int, recipe: FlowRecipe | None = None
) -> tuple[RaftFlow, list[float]]:
    """Train torchvision's RAFT `name` from scratch -> (estimator, loss of every step). Deterministic on one CPU."""
    recipe = recipe or FlowRecipe()
    torch.manual_seed(seed)
    estimator = RaftFlow(name, recipe.updates)
    weights = list(estimator.network.requires_grad_(True).parameters())
    sampler = Sampler(flame, texture_pool(flame, recipe.skins, recipe.skin_size, seed), SIDE)
    optimiser = torch.optim.AdamW(weights, lr=recipe.lr, weight_decay=recipe.weight_decay)
    schedule = OneCycleLR(optimiser, recipe.lr, steps + 1, pct_start=0.05, anneal_strategy="linear")
    history = []
    for step in (bar := tqdm(range(steps), desc=f"weights@flow {name}", disable=None)):
        pairs = sample_flow_pairs(sampler, np.random.default_rng((seed, step)), recipe.batch)
        flows = estimator.iterations(pairs.first.float() / 255, pairs.second.float() / 255)
        loss = sequence_loss(flows, pairs, recipe.decay)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
        history.append(loss.item())
        bar.set_postfix(loss=f"{history[-1]:.2f}")
    return estimator.requires_grad_(False), history


def sequence_loss(flows: list[Tensor], pairs: FlowPairs, decay: float) -> Tensor:
    """RAFT's loss: L1 error in px of every iteration's flow over the valid pixels, later ones weigh more."""
    errors = [(flow - pairs.flow).abs().sum(dim=1)[pairs.valid[:, 0]].mean() for flow in flows]
    return sum(decay ** (len(flows) - 1 - index) * error for index, error in enumerate(errors))


@torch.no_grad()
def measure_flow(estimator: RaftFlow | DisFlow, flame: Flame, seed: int, pairs: int = 64) -> dict[str, float]:
    """Held-out figures of the estimator, of DIS and of zero flow, and the calibration on identical images.

    ``epe_*_px`` end-point error and ``below_1px_*`` share of pixels off by less than one, over the valid pixels; with
    ``_small`` over those whose true flow is below 2 px, as late in training.
    """
    held_out = HELD_OUT + seed
    recipe = FlowRecipe(skins=HELD_OUT_SKINS)
    sampler = Sampler(flame, texture_pool(flame, recipe.skins, recipe.skin_size, held_out), SIDE)
    drawn = sample_flow_pairs(sampler, np.random.default_rng(held_out), pairs)
    first, second, valid = drawn.first.float() / 255, drawn.second.float() / 255, drawn.valid[:, 0]
    flows = {"zero": torch.zeros_like(drawn.flow), "dis": DisFlow().flow(first, second)}
    if estimator.name != "dis":
        parts = zip(first.split(BATCH), second.split(BATCH), strict=True)
        flows[estimator.name] = torch.cat([estimator.flow(*part) for part in parts])
    figures = calibrate(estimator, second[:BATCH])
    small = valid & (drawn.flow.norm(dim=1) < 2)
    for name, flow in flows.items():
        for label, mask in (("", valid), ("_small", small)):
            off = (flow - drawn.flow).norm(dim=1)[mask]
            figures[f"epe{label}_{name}_px"] = float(end_point_error(flow, drawn.flow, mask))
            figures[f"below_1px{label}_{name}"] = float((off < 1).float().mean())
    return figures
