"""The supervised warm start of MFNet: known parameters of synthetic renders, all architectures on one trunk at once.

Single-view and fused regressors see the same images for the same steps, so the single-view baseline has the same budget
as the three-view model. What mattered, most first: crops, no global pooling, located landmarks beside the features with
the mean face subtracted, regressors trained once more on the finished trunk, an error in millimetres after alignment.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mfnet.flame import Flame
from mfnet.io.checkpoints import Checkpoints
from mfnet.io.images import to_float
from mfnet.losses.supervised import FaceLosses
from mfnet.model.encoder import FLAT_SIDE, resize
from mfnet.model.parameters import Person
from mfnet.model.pretrained import PretrainedNetwork
from mfnet.params import EncoderTraining, Params
from mfnet.pretraining.figures import by_yaw, decode_face, face_error, view_figures
from mfnet.pretraining.loop import CHECKPOINTS, TrainingLoop, half_precision, pretraining_checkpoints
from mfnet.pretraining.pools import CHUNK, HELD_OUT, PHASE, batches, sample_pool
from mfnet.synthetic.sampler import CropFormat, Sample, Sampler
from mfnet.synthetic.subjects import texture_pool


def make_sampler(flame: Flame, params: Params, skins: Tensor, supersample: int, size: int) -> Sampler:
    """The sampler of the encoder's people; skins [T, 3, Ht, Wt] uint8; size: side of the crops, pixels."""
    return Sampler(flame, skins, CropFormat(size, params.triplets.crop_scale, supersample), params.sampler)


def training_sampler(flame: Flame, params: Params, config: EncoderTraining, seed: int) -> Sampler:
    """The sampler of one phase of the training, with skins of its own."""
    skins = texture_pool(flame, config.skins, config.skin_size, seed)
    return make_sampler(flame, params, skins, config.supersample, config.size)


# ------------------------------------------------------------------------------------------------------------ training


def pretrain_encoder(
    params: Params, config: EncoderTraining, flame: Flame, checkpoints: Path = CHECKPOINTS
) -> tuple[PretrainedNetwork, list[float]]:
    """Train a start for `flame` -> (network in evaluation mode, loss of every step). Deterministic on one CPU.

    config: how it is trained; of `params` the architecture, the random heads, the losses and the crops are read. An
    interrupted run with equal arguments and code is resumed from its checkpoints, which a finished run removes.
    """
    seen = min(config.subjects, config.steps * config.batch)  # in either phase: nobody is drawn in vain for a short run
    config, crop_scale = config.model_copy(update={"subjects": seen}), params.triplets.crop_scale
    read = (config, params.model, params.sampler, params.supervised)
    saved = [
        pretraining_checkpoints(checkpoints, "encoder", flame, read, crop_scale=crop_scale, phase=phase)
        for phase in (1, 2)
    ]
    torch.manual_seed(config.seed)
    network = PretrainedNetwork(params.model, flame, crop_scale).to(memory_format=torch.channels_last)
    losses = fit(network, flame, params, config, saved[0])
    network = refit(network, flame, params, config, saved[1])
    for each in saved:
        each.remove()
    return network.eval(), losses


def shrink(images: Tensor) -> Tensor:
    """Images [N,V,3,H,W] uint8 at the side that spatial pooling sees, once instead of at every step."""
    small = resize(images.flatten(0, 1).float(), FLAT_SIDE).round().clamp(0, 255).to(torch.uint8)
    return small.unflatten(0, images.shape[:2])


def fit(
    network: PretrainedNetwork, flame: Flame, params: Params, config: EncoderTraining, saved: Checkpoints | None = None
) -> list[float]:
    """Train encoder and regressors together on a pool of renders; returns the loss of every step."""
    seed, steps = config.seed, config.steps
    loop = TrainingLoop(network, config, steps, "pretrained@encoder", saved)
    if loop.done:
        return loop.history
    spatial = network.params.pooling == "spatial"
    pool = sample_pool(training_sampler(flame, params, config, seed), seed, config.subjects, "renders")
    if spatial:
        pool = replace(pool, images=torch.cat([shrink(images) for images in pool.images.split(CHUNK)]))
    order = batches(np.random.default_rng((seed, 1)), config.subjects, config.batch, steps)
    losses, fast = FaceLosses(flame, params.supervised), half_precision()
    weights = config.regressor_weights.model_dump()
    network.train()
    for step in loop:
        batch = pool[order[step]]
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            features = network.encode(to_float(batch.images))
        predictions = network.predict(features.float())  # half a pixel's worth would be lost in half precision
        loss = losses(predictions, batch, weights)
        if spatial:
            located = network.encoder.located(features)
            loss = loss + (located - batch.landmarks).abs().mean() / losses.scales.located
        loop.step(loss)
    return loop.history


def refit(
    network: PretrainedNetwork, flame: Flame, params: Params, config: EncoderTraining, saved: Checkpoints | None = None
) -> PretrainedNetwork:
    """A network of the same encoder with regressors trained anew, on new people, while the encoder rests.

    Regressors that grew up beside a changing trunk stay behind what its features allow, and the trunk knows its own
    training images too well; features of images it never saw are computed once, so this costs little.
    """
    seed, steps, fast = config.seed + PHASE, int(config.refit * config.steps), half_precision()
    torch.manual_seed(seed)
    fresh = PretrainedNetwork(network.params, flame, params.triplets.crop_scale)
    fresh.encoder = network.encoder.eval()
    sampler, chunks = training_sampler(flame, params, config, seed), []
    for index in tqdm(range(-(-config.subjects // CHUNK)), desc="features", disable=None):
        sample = sampler.sample(np.random.default_rng((seed, index)), min(CHUNK, config.subjects - index * CHUNK), 3)
        images = shrink(sample.images) if network.params.pooling == "spatial" else sample.images
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=fast):
            chunks.append(replace(sample, images=fresh.encode(to_float(images)).float()))
    features = Sample.cat(chunks)  # its images are features
    regressors = nn.ModuleList([fresh.view_regressor, fresh.person_regressors])
    loop = TrainingLoop(regressors, config, steps, "regressors", saved)
    losses, weights = FaceLosses(flame, params.supervised), config.regressor_weights.model_dump()
    order = batches(np.random.default_rng((seed, 1 << 30)), len(features.images), 2 * config.batch, steps)
    for step in loop:
        batch = features[order[step]]
        loop.step(losses(fresh.predict(batch.images), batch, weights))
    return fresh


# ------------------------------------------------------------------------------------------------------------- figures


@torch.no_grad()
def measure_encoder(network: PretrainedNetwork, flame: Flame, params: Params) -> dict[str, float]:
    """Held-out figures on new people: face error in mm after scale and translation, by model and by yaw.

    Of `params` the seed and supersampling of ``pretrained.encoder``, ``pretrained.held_out``, the crops of `triplets`
    and `sampler` are read.
    """
    wanted, people = params.pretrained.encoder, params.pretrained.held_out
    held_out, subjects = HELD_OUT + wanted.seed, people.encoder_subjects
    skins = texture_pool(flame, people.skins, people.skin_size, held_out)
    sampler = make_sampler(flame, params, skins, wanted.supersample, params.triplets.image_size)
    pool = sample_pool(sampler, held_out, subjects, "held-out")
    parts = [network(to_float(images)) for images in pool.images.split(CHUNK)]
    truth = decode_face(flame, pool.person)

    def error(name: str, average: bool = False) -> Tensor:
        person = Person.cat([part[name].person for part in parts])
        if average:
            person = person.map(lambda code: code.unflatten(0, (subjects, -1)).mean(1))
        return face_error(decode_face(flame, person), truth)

    mean_head = decode_face(flame, pool.person.map(torch.zeros_like))
    single = error("concat1")
    figures = {
        "mean_head_mm": float(face_error(mean_head, truth).mean()),
        "one_view_mm": float(single.mean()),
        "one_view_averaged_mm": float(error("concat1", average=True).mean()),
        "two_views_mm": float(error("concat2").mean()),
        "three_views_mm": float(error("concat3").mean()),
        "set_mm": float(error("set").mean()),
    }
    for name in ("one_view", "three_views", "set"):
        figures[f"{name}_of_mean_head"] = figures[f"{name}_mm"] / figures["mean_head_mm"]
    figures["three_of_one"] = figures["three_views_mm"] / figures["one_view_mm"]
    figures["three_of_averaged"] = figures["three_views_mm"] / figures["one_view_averaged_mm"]
    return figures | by_yaw(single, pool.yaw.flatten()) | view_figures(parts, pool)
