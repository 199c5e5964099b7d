"""Training the embedded landmark network on synthetic renders: crops from tight to whole photographs, and no-faces."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mfnet.flame import Flame
from mfnet.geometry import ndc_to_pixels
from mfnet.io.images import to_float
from mfnet.landmarks.network import (
    CELLS,
    CROP_SCALE,
    SIDE,
    LandmarkDetector,
    LandmarkNetwork,
    expected_points,
    mirrored_points,
)
from mfnet.params import LandmarkTraining, Params
from mfnet.pretraining.figures import by_yaw
from mfnet.pretraining.loop import CHECKPOINTS, TrainingLoop, half_precision, pretraining_checkpoints
from mfnet.pretraining.pools import HELD_OUT, batches, sample_pool
from mfnet.synthetic.clutter import cluttered_backgrounds
from mfnet.synthetic.degrade import random_backgrounds
from mfnet.synthetic.sampler import CropFormat, Sampler
from mfnet.synthetic.subjects import texture_pool

CELL = SIDE / CELLS
"""Pixels per heat-map cell."""


def pretrain_landmarks(
    params: Params, config: LandmarkTraining, flame: Flame, checkpoints: Path = CHECKPOINTS
) -> tuple[LandmarkNetwork, list[float]]:
    """Train the network -> (network in evaluation mode, loss of every step). Deterministic on one CPU.

    config: how it is trained; of `params` the random heads are read. An interrupted run with equal arguments and code
    is resumed from its checkpoint, which a finished run removes.
    """
    seed, steps = config.seed, config.steps
    torch.manual_seed(seed)
    network = LandmarkNetwork(config.width).to(memory_format=torch.channels_last).train()
    images, points = training_crops(params, config, flame)
    rng = np.random.default_rng((seed, 1))
    order = batches(rng, len(images), config.batch, steps)
    saved = pretraining_checkpoints(checkpoints, "landmarks", flame, (config, params.sampler))
    loop, fast = TrainingLoop(network, config, steps, "pretrained@landmarks", saved, rng), half_precision()
    for step in loop:
        crops, places = to_float(images[order[step]]), points[order[step]]
        if rng.random() < 0.5:
            crops, places = crops.flip(-1), mirrored_points(places)
        negatives = len(crops) // 16
        crops[:negatives] = without_face(rng, crops[:negatives], params.sampler.clutter)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            logits, presence = network(crops.contiguous(memory_format=torch.channels_last))
        loss = landmark_loss(logits[negatives:], places[negatives:])
        loss = loss + functional.binary_cross_entropy_with_logits(presence, face_labels(len(crops), negatives))
        loop.step(loss)
    saved.remove()
    return network.eval(), loop.history


def training_crops(params: Params, config: LandmarkTraining, flame: Flame) -> tuple[Tensor, Tensor]:
    """Images [M,3,128,128] uint8 and landmarks [M,68,2] in crop pixels, of all kinds of crops in the config."""
    textures = texture_pool(flame, config.skins, config.skin_size, config.seed)
    images, points = [], []
    for index, kind in enumerate(config.crops):
        options = params.sampler.model_copy(update={"crop_jitter": kind.jitter})
        sampler = Sampler(flame, textures, CropFormat(SIDE, kind.scale, config.supersample), options)
        pool = sample_pool(sampler, config.seed + index, kind.subjects, f"renders x {kind.scale}")
        images.append(pool.images.flatten(0, 1))
        points.append(ndc_to_pixels(pool.landmarks.flatten(0, 1), SIDE, SIDE))
    return torch.cat(images), torch.cat(points)


def without_face(rng: np.random.Generator, crops: Tensor, clutter: float) -> Tensor:
    """As many crops [N,3,128,128] without a face: backgrounds, and faces whose 16 blocks are shuffled.

    clutter: share of the backgrounds that are cluttered, as behind faces; else clutter would give a face away.
    """
    empty = cluttered_backgrounds(rng, random_backgrounds(rng, len(crops), SIDE), clutter)
    blocks = crops.unfold(2, SIDE // 4, SIDE // 4).unfold(3, SIDE // 4, SIDE // 4).flatten(2, 3)  # [N,3,16,32,32]
    shuffled = blocks[:, :, torch.from_numpy(rng.permutation(16))].unflatten(2, (4, 4))
    shuffled = shuffled.permute(0, 1, 2, 4, 3, 5).reshape(crops.shape)
    chosen = torch.from_numpy(rng.random(len(crops)) < 0.5)[:, None, None, None]
    return torch.where(chosen, empty, shuffled)


def face_labels(count: int, negatives: int) -> Tensor:
    """1 for a face, 0 for the first `negatives`."""
    return (torch.arange(count) >= negatives).float()


def landmark_loss(logits: Tensor, points: Tensor) -> Tensor:
    """Distance in px of the maps' means from points [N,68,2], and cross entropy to a Gaussian of one cell there.

    The first makes the answer exact, the second gives the maps a shape from which a score can be read. Points outside
    the crop count in neither.
    """
    inside = ((points > 0) & (points < SIDE)).all(dim=-1)
    distance = (expected_points(logits) - points).abs().sum(-1)[inside].mean()
    cells = (torch.arange(CELLS) + 0.5) * CELL
    across = -((cells - points[..., :1]) ** 2) / (2 * CELL**2)  # [N,68,32]
    down = -((cells - points[..., 1:]) ** 2) / (2 * CELL**2)
    target = (down[..., :, None] + across[..., None, :]).flatten(2).softmax(dim=-1)
    entropy = -(target * logits.flatten(2).log_softmax(dim=-1)).sum(-1)[inside].mean()
    return distance + 0.5 * entropy


@torch.no_grad()
def measure_landmarks(network: LandmarkNetwork, flame: Flame, params: Params) -> dict[str, float]:
    """Held-out figures: mean distance in px of 128 px crops, of all points, by yaw; scores with and without a face.

    Of `params` the seed and supersampling of ``pretrained.landmarks``, ``pretrained.held_out`` and `sampler` are read.
    """
    wanted, people = params.pretrained.landmarks, params.pretrained.held_out
    held_out = HELD_OUT + wanted.seed
    textures = texture_pool(flame, people.skins, people.skin_size, held_out)
    sampler = Sampler(flame, textures, CropFormat(SIDE, CROP_SCALE, wanted.supersample), params.sampler)
    pool = sample_pool(sampler, held_out, people.landmark_subjects, "held-out")
    images = to_float(pool.images.flatten(0, 1))
    truth = ndc_to_pixels(pool.landmarks.flatten(0, 1), SIDE, SIDE)
    empty = without_face(np.random.default_rng(held_out), images, params.sampler.clutter)
    detector = LandmarkDetector(network)

    def locate(crops: Tensor) -> tuple[Tensor, Tensor]:
        found = [detector.locate_crops(part.mul(255).round().byte().movedim(1, -1).numpy()) for part in crops.split(50)]
        points, scores = (np.concatenate(part) for part in zip(*found, strict=True))
        return torch.from_numpy(points).float(), torch.from_numpy(scores).mean(1)

    points, faces = locate(images)
    distance = (points - truth).norm(dim=-1).mean(1)
    negatives = locate(empty)[1]
    return {
        "error_px": float(distance.mean()),
        **by_yaw(distance, pool.yaw.flatten(), "error_px"),
        "score_faces_p01": float(faces.quantile(0.01)),
        "score_no_face_p99": float(negatives.quantile(0.99)),
    }
