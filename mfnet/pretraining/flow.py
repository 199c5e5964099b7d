"""Training RAFT on rendered pairs with exact flow: a photograph, and what a slightly wrong estimate looks like.

That is what eq. 6 compares. The estimate is drawn with the person's skin or with another photograph's pixels, in equal
shares: an estimator that knew the first kind alone was worse than OpenCV's DIS on the second. RAFT's own loss says
nothing to its features until its updates can read their correlation, and the updates have nothing to read until then:
left alone, RAFT-small stays at zero flow for the first thousand steps. So the features are also taught to match by
themselves, from the first step on. Later, shorter phases go on with images of twice the side: a step costs more
there, and cells of half the size are what small displacements need. `measure_flow` puts any estimator beside DIS and
beside zero on held-out pairs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.models.optical_flow import RAFT
from tqdm import tqdm

from mfnet.flame import Flame
from mfnet.flow import DisFlow, FlowEstimator, RaftFlow, calibrate, end_point_error
from mfnet.io.checkpoints import Checkpoints
from mfnet.io.images import to_float
from mfnet.params import FlowTraining, Params
from mfnet.pretraining.loop import CHECKPOINTS, TrainingLoop, half_precision, pretraining_checkpoints
from mfnet.pretraining.pools import CHUNK, HELD_OUT, PHASE, batches
from mfnet.synthetic.flow_pairs import FlowPairs, sample_cross_pairs, sample_flow_pairs
from mfnet.synthetic.sampler import CropFormat, Sampler
from mfnet.synthetic.subjects import texture_pool

SIDE = 128
"""Side of the pairs, pixels: the least that RAFT takes."""
BATCH = 8
"""Pairs that an estimator sees at once when it is measured."""


def pretrain_flow(
    params: Params, config: FlowTraining, flame: Flame, checkpoints: Path = CHECKPOINTS
) -> tuple[RaftFlow, list[float]]:
    """Train a RAFT of torchvision's from scratch -> (estimator, loss of every step). Deterministic on one CPU.

    config: how it is trained; of `params` the random heads and the scale of the crops are read. An interrupted run with
    equal arguments and code is resumed from its checkpoints, which a finished run removes.
    """
    finer = {"batch": config.fine_batch, "lr": config.fine_lr}
    phases = [(config, 1)]
    for share in config.fine:
        phases.append((config.model_copy(update={"steps": ceil(share * config.steps), **finer}), config.enlarge))
    torch.manual_seed(config.seed)
    estimator = RaftFlow(config.estimator, config.updates).requires_grad_(True)
    losses, saved = [], []
    read, crop_scale = (config, params.sampler), params.triplets.crop_scale
    for phase, (settings, estimator.enlarge) in enumerate(phases):
        more = {"crop_scale": crop_scale, "phase": phase}
        saved.append(pretraining_checkpoints(checkpoints, config.estimator, flame, read, **more))
        each = settings.model_copy(update={"seed": config.seed + phase * PHASE})
        losses += fit(estimator, flame, params, each, saved[-1])
    for each in saved:
        each.remove()
    return estimator.cpu().requires_grad_(False), losses


def fit(
    estimator: RaftFlow, flame: Flame, params: Params, config: FlowTraining, saved: Checkpoints | None = None
) -> list[float]:
    """Train the estimator at its scale for a phase of its own seed on a pool of rendered pairs; returns the loss of
    every step."""
    seed, steps = config.seed, config.steps
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    fast = device.type == "cuda" or half_precision()
    network = estimator.to(device).network
    label = f"pretrained@flow {estimator.name}, {SIDE * estimator.enlarge} px"
    loop = TrainingLoop(network, config, steps, label, saved)
    if loop.done:
        return loop.history
    pool = flow_pool(flame, params, config, min(config.pairs, steps * config.batch))
    order = batches(np.random.default_rng((seed, 1)), len(pool.first), config.batch, steps)
    mirror = np.random.default_rng((seed, 2)).random(steps) < 0.5
    for step in loop:
        pairs = FlowPairs(*(field[order[step]].to(device) for field in pool))
        pairs = mirrored(pairs) if mirror[step] else pairs
        with features_of(network) as features, torch.autocast(device.type, torch.bfloat16, enabled=fast):
            flows = estimator.iterations(to_float(pairs.first), to_float(pairs.second))
        loss = sequence_loss(flows, pairs, config.decay) + config.matching * matching_loss(features[0].float(), pairs)
        loop.step(loss)
    return loop.history


def make_sampler(flame: Flame, params: Params, skins: Tensor, supersample: int) -> Sampler:
    """The sampler of the people in the pairs; skins [T, 3, Ht, Wt] uint8."""
    options = params.sampler.model_copy(update={"occluders": 0.0})  # what a thing covers has no flow
    return Sampler(flame, skins, CropFormat(SIDE, params.triplets.crop_scale, supersample), options)


def flow_pool(flame: Flame, params: Params, config: FlowTraining, count: int) -> FlowPairs:
    """`count` rendered pairs of both kinds by turns, some of them identical instead; equal seeds give equal pools."""
    seed, chunks = config.seed, []
    skins = texture_pool(flame, config.skins, config.skin_size, seed)
    sampler = make_sampler(flame, params, skins, config.supersample)
    for index, begin in enumerate(tqdm(range(0, count, CHUNK), desc="pairs", disable=None)):
        sample = (sample_flow_pairs, sample_cross_pairs)[index % 2]
        drawn = sample(sampler, np.random.default_rng((seed, index)), min(CHUNK, count - begin))
        chunks.append(drawn._replace(flow=drawn.flow.half()))  # 0.004 px at 8 px
    pool = FlowPairs(*(torch.cat(field) for field in zip(*chunks, strict=True)))
    same = slice(None, None, config.identical)
    pool.first[same], pool.flow[same], pool.valid[same] = pool.second[same], 0.0, True
    return pool


def mirrored(pairs: FlowPairs) -> FlowPairs:
    """The pairs seen in a mirror: columns reversed, flow to the other side."""
    flipped = FlowPairs(*(field.flip(-1) for field in pairs))
    return flipped._replace(flow=flipped.flow * flipped.flow.new_tensor([-1.0, 1.0]).view(2, 1, 1))


# -------------------------------------------------------------------------------------------------------------- losses


def sequence_loss(flows: list[Tensor], pairs: FlowPairs, decay: float) -> Tensor:
    """RAFT's loss: L1 error in px of every iteration's flow over the valid pixels, later ones weigh more."""
    errors = [(flow - pairs.flow).abs().sum(dim=1)[pairs.valid[:, 0]].mean() for flow in flows]
    weighted = (decay ** (len(flows) - 1 - index) * error for index, error in enumerate(errors))
    return sum(weighted, start=torch.zeros(()))


@contextmanager
def features_of(network: RAFT) -> Iterator[list[Tensor]]:
    """Collects what the network's feature encoder returns [2B,C,h,w]: the first images', then the second ones'."""
    found: list[Tensor] = []
    handle = network.feature_encoder.register_forward_hook(lambda module, inputs, output: found.append(output))
    try:
        yield found
    finally:
        handle.remove()


def matching_loss(features: Tensor, pairs: FlowPairs) -> Tensor:
    """Cross entropy between the softmax of RAFT's correlation volume and where the cells of the first image went.

    features [2B,C,h,w]. The target of a cell is shared among the four cells around it by bilinear weights, so that
    the volume's mean is exact below a cell. Only cells count whose middle is valid and stays within the second image.
    """
    first, second = features.chunk(2)
    scores = torch.einsum("bcij,bckl->bijkl", first, second) / first.shape[1] ** 0.5
    logarithms = scores.flatten(3).log_softmax(-1).view_as(scores)
    height, width = scores.shape[3:]
    target, counts = cell_targets(pairs, pairs.flow.shape[-1] // width)
    down, across = (
        (1 - (target[:, axis, ..., None] - torch.arange(side, device=target.device)).abs()).clamp_min(0)
        for axis, side in ((1, height), (0, width))
    )  # [B,h,w,h], [B,h,w,w]
    return -torch.einsum("bijkl,bijk,bijl->bij", logarithms, down, across)[counts].mean()


def cell_targets(pairs: FlowPairs, cell: int) -> tuple[Tensor, Tensor]:
    """Where the middle of every cell of the first image goes [B,2,h,w] (cells; x, y), and which cells count [B,h,w].

    cell: pixels of the pairs per cell of the features, even.
    """
    middle = slice(cell // 2 - 1, cell // 2 + 1)  # the four pixels around the cell's centre

    def middles(field: Tensor) -> Tensor:  # [B,C,h,2,w,2]
        return field.unflatten(-1, (-1, cell)).unflatten(-3, (-1, cell))[..., middle, :, middle].float()

    moved = middles(pairs.flow).mean((3, 5)) / cell
    height, width = moved.shape[-2:]
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    target = moved + torch.stack([column, row]).to(moved)
    last = torch.tensor([width - 1, height - 1]).to(moved).view(2, 1, 1)
    valid = middles(pairs.valid).amin((3, 5))[:, 0] > 0
    return target, valid & ((target >= 0) & (target <= last)).all(1)


# ------------------------------------------------------------------------------------------------------------- figures


@torch.no_grad()
def measure_flow(estimator: FlowEstimator, flame: Flame, params: Params) -> dict[str, float]:
    """Held-out figures of the estimator, of DIS and of zero flow, and the calibration on identical images.

    ``epe_*_px`` mean and ``median_*_px`` median end-point error, ``below_1px_*`` share of pixels off by less than one,
    over the valid pixels; with ``_small`` over those whose true flow is below 2 px, as late in training and in the
    refinement; with ``_cross`` on `sample_cross_pairs`. Of `params` the seed and supersampling of ``pretrained.flow``,
    ``pretrained.held_out``, the scale of the crops and `sampler` are read.
    """
    wanted, people = params.pretrained.flow, params.pretrained.held_out
    held_out, pairs = HELD_OUT + wanted.seed, people.flow_pairs
    skins = texture_pool(flame, people.skins, people.skin_size, held_out)
    sampler = make_sampler(flame, params, skins, wanted.supersample)
    kinds = {"": sample_flow_pairs, "_cross": sample_cross_pairs}
    drawn = {label: sample(sampler, np.random.default_rng(held_out), pairs) for label, sample in kinds.items()}
    figures = calibrate(estimator, to_float(drawn[""].second[:BATCH]))
    for label, every in drawn.items():
        small = every._replace(valid=every.valid & (every.flow.norm(dim=1, keepdim=True) < 2))
        figures |= errors(estimator, every, label) | errors(estimator, small, f"{label}_small")
    return figures


def errors(estimator: FlowEstimator, pairs: FlowPairs, label: str = "") -> dict[str, float]:
    """Figures of zero flow, DIS and the estimator on pairs; see `measure_flow`."""
    first, second, valid = to_float(pairs.first), to_float(pairs.second), pairs.valid[:, 0]
    flows = {"zero": torch.zeros_like(pairs.flow), "dis": DisFlow().flow(first, second)}
    if estimator.name != "dis":
        parts = zip(first.split(BATCH), second.split(BATCH), strict=True)
        flows[estimator.name] = torch.cat([estimator.flow(*part) for part in parts])
    figures = {}
    for name, flow in flows.items():
        off = (flow - pairs.flow).norm(dim=1)[valid]
        figures[f"epe{label}_{name}_px"] = float(end_point_error(flow, pairs.flow, valid))
        figures[f"median{label}_{name}_px"] = float(off.median())
        figures[f"below_1px{label}_{name}"] = float((off < 1).float().mean())
    return figures
