"""The supervised warm start of MFNet: known parameters of synthetic renders, all architectures on one trunk at once.

Single-view and fused regressors see the same images for the same steps, so the single-view baseline has the same budget
as the three-view model. What mattered, most first: crops, no global pooling, located landmarks beside the features with
the mean face subtracted, regressors trained once more on the finished trunk, an error in millimetres after alignment.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mfnet.flame import Flame
from mfnet.io.checkpoints import Checkpoints
from mfnet.io.images import to_float
from mfnet.losses.supervised import PERSON, FaceLosses
from mfnet.model.encoder import FLAT_SIDE, resize
from mfnet.model.pretrained import PretrainedNetwork
from mfnet.params import ModelParams
from mfnet.pretraining.figures import by_yaw, decode_face, face_error, view_figures
from mfnet.pretraining.loop import CHECKPOINTS, TrainingLoop, half_precision, recipe_checkpoints
from mfnet.pretraining.pools import CHUNK, HELD_OUT, HELD_OUT_SKINS, PHASE, batches, sample_pool
from mfnet.synthetic.sampler import Sample, Sampler, SamplerOptions
from mfnet.synthetic.subjects import texture_pool


@dataclass(frozen=True)
class EncoderRecipe:
    """The settings of the warm start, beside seed and steps (``params.pretrained.encoder``)."""

    subjects: int = 8000
    """Random people in the training pool, each photographed once from three sides."""
    size: int = 128
    """Side of the crops, pixels; they are drawn without supersampling, since the flat head shrinks them anyway."""
    skins: int = 60
    """Skins shared among them."""
    skin_size: int = 256
    """Side of a skin texture, pixels."""
    batch: int = 16
    """Triplets per step."""
    lr: float = 2e-3
    """Peak learning rate of AdamW; 30 steps of warm-up, then a cosine to zero."""
    refit: float = 0.5
    """Steps of the second phase as a share of the first's; its batches are twice as large, its people new."""
    weight_decay: float = 1e-2
    """Of AdamW."""
    clip: float = 5.0
    """Greatest gradient norm."""
    variants: tuple[tuple[str, float], ...] = (("concat1", 1.0), ("concat2", 0.3), ("concat3", 1.0), ("set", 1.0))
    """Fused regressors and the weights of their losses."""


def make_sampler(flame: Flame, recipe: EncoderRecipe, seed: int) -> Sampler:
    """The sampler of the recipe, with skins of its own."""
    skins = texture_pool(flame, recipe.skins, recipe.skin_size, seed)
    return Sampler(flame, skins, recipe.size, SamplerOptions(supersample=1))


# -------------------------------------------------------------------------------------------------------------- recipe


def pretrain_encoder(
    params: ModelParams,
    flame: Flame,
    seed: int,
    steps: int,
    recipe: EncoderRecipe | None = None,
    checkpoints: Path = CHECKPOINTS,
) -> tuple[PretrainedNetwork, list[float]]:
    """Train a start for `flame` -> (network in evaluation mode, loss of every step). Deterministic on one CPU.

    An interrupted run with equal arguments and code is resumed from its checkpoints, which a finished run removes.
    """
    recipe = recipe or EncoderRecipe()
    seen = min(recipe.subjects, steps * recipe.batch)  # in either phase: nobody is drawn in vain for a short run
    recipe = replace(recipe, subjects=seen)
    model = params.model_dump()
    kept = [
        recipe_checkpoints(checkpoints, "encoder", flame, seed, steps, recipe, phase=phase, model=model)
        for phase in (1, 2)
    ]
    torch.manual_seed(seed)
    network = PretrainedNetwork(params, flame).to(memory_format=torch.channels_last)
    losses = fit(network, flame, seed, steps, recipe, kept[0])
    network = refit(network, flame, seed, int(recipe.refit * steps), recipe, kept[1])
    for each in kept:
        each.remove()
    return network.eval(), losses


def shrink(images: Tensor) -> Tensor:
    """Images [N,V,3,H,W] uint8 at the side that the flat head sees, once instead of at every step."""
    small = resize(images.flatten(0, 1).float(), FLAT_SIDE).round().clamp(0, 255).to(torch.uint8)
    return small.unflatten(0, images.shape[:2])


def fit(
    network: PretrainedNetwork,
    flame: Flame,
    seed: int,
    steps: int,
    recipe: EncoderRecipe,
    kept: Checkpoints | None = None,
) -> list[float]:
    """Train encoder and regressors together on a pool of renders; returns the loss of every step."""
    descent = TrainingLoop(network, recipe, steps, "pretrained@encoder", kept)
    if descent.done:
        return descent.history
    flat = network.params.head == "flat"
    pool = sample_pool(make_sampler(flame, recipe, seed), seed, recipe.subjects, "renders")
    if flat:
        pool = pool._replace(images=torch.cat([shrink(images) for images in pool.images.split(CHUNK)]))
    order = batches(np.random.default_rng((seed, 1)), recipe.subjects, recipe.batch, steps)
    losses, fast = FaceLosses(flame), half_precision()
    network.train()
    for step in descent:
        batch = Sample(*(field[order[step]] for field in pool))
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            features = network.encode(to_float(batch.images))
        predictions = network.predict(features.float())  # half a pixel's worth would be lost in half precision
        loss = losses(predictions, batch, dict(recipe.variants))
        if flat:
            located = network.encoder.located(features)
            loss = loss + (located - batch.landmarks).abs().mean() / losses.scales.located
        descent.step(loss)
    return descent.history


def refit(
    network: PretrainedNetwork,
    flame: Flame,
    seed: int,
    steps: int,
    recipe: EncoderRecipe,
    kept: Checkpoints | None = None,
) -> PretrainedNetwork:
    """A network of the same encoder with regressors trained anew, on new people, while the encoder rests.

    Regressors that grew up beside a changing trunk stay behind what its features allow, and the trunk knows its own
    training images too well; features of images it never saw are computed once, so this costs little.
    """
    seed, fast = seed + PHASE, half_precision()
    torch.manual_seed(seed)
    fresh = PretrainedNetwork(network.params, flame)
    fresh.encoder = network.encoder.eval()
    sampler, chunks = make_sampler(flame, recipe, seed), []
    for index in tqdm(range(-(-recipe.subjects // CHUNK)), desc="features", disable=None):
        sample = sampler.sample(np.random.default_rng((seed, index)), min(CHUNK, recipe.subjects - index * CHUNK), 3)
        images = shrink(sample.images) if network.params.head == "flat" else sample.images
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=fast):
            chunks.append(sample._replace(images=fresh.encode(to_float(images)).float()))
    features = Sample(*(torch.cat(field) for field in zip(*chunks, strict=True)))  # its images are features
    regressors = nn.ModuleList([fresh.view_regressor, fresh.person_regressors])
    descent, losses = TrainingLoop(regressors, recipe, steps, "regressors", kept), FaceLosses(flame)
    order = batches(np.random.default_rng((seed, 1 << 30)), len(features.images), 2 * recipe.batch, steps)
    for step in descent:
        batch = Sample(*(field[order[step]] for field in features))
        descent.step(losses(fresh.predict(batch.images), batch, dict(recipe.variants)))
    return fresh


# ------------------------------------------------------------------------------------------------------------- figures


@torch.no_grad()
def measure_encoder(
    network: PretrainedNetwork, flame: Flame, seed: int, size: int, subjects: int = 200
) -> dict[str, float]:
    """Held-out figures on `subjects` new people: face error in mm after scale and translation, by model and by yaw.

    The seed is that of the training; `size` is the side of the crops, pixels.
    """
    recipe, held_out = EncoderRecipe(skins=HELD_OUT_SKINS, size=size), HELD_OUT + seed
    pool = sample_pool(make_sampler(flame, recipe, held_out), held_out, subjects, "held-out")
    parts = [network(to_float(images)) for images in pool.images.split(CHUNK)]
    truth = decode_face(flame, *(getattr(pool, field) for field in PERSON))

    def error(name: str, average: bool = False) -> Tensor:
        codes = [torch.cat([getattr(part[name], field) for part in parts]) for field in PERSON]
        if average:
            codes = [code.unflatten(0, (subjects, -1)).mean(1) for code in codes]
        return face_error(decode_face(flame, *codes), truth)

    mean_head = decode_face(flame, *(torch.zeros_like(getattr(pool, field)) for field in PERSON))
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
