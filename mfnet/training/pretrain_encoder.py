"""The supervised warm start of MFNet: known parameters of synthetic renders, all architectures on one trunk at once.

Single-view and fused regressors see the same images for the same steps, so the single-view baseline has the same budget
as the three-view model. What mattered, most first: crops, no global pooling, located landmarks beside the features with
the mean face subtracted, regressors trained once more on the finished trunk, an error in millimetres after alignment.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mfnet.flame import Flame
from mfnet.geometry import axis_angle_to_matrix
from mfnet.nets.encoder import FLAT_SIDE, resize
from mfnet.nets.mfnet import Prediction
from mfnet.nets.start import StartNetwork
from mfnet.params import ModelParams
from mfnet.synthetic.sampler import Sample, Sampler, SamplerOptions
from mfnet.synthetic.subjects import texture_pool
from mfnet.training.checkpoint import Checkpoints
from mfnet.training.descent import CHECKPOINTS, Descent, recipe_checkpoints

CHUNK = 50
"""Subjects per call of the sampler."""
HELD_OUT = 1_000_003
"""Added to a recipe's seed: held-out people, skins and lights come from another stream than the training's."""
HELD_OUT_SKINS = 8
"""Skins of the held-out people: figures are measured at every run of the stage, and a skin takes half a second."""
PHASE = 500_009
"""Added to a recipe's seed once for every phase after the first: each draws people, skins and lights of its own."""
PERSON = ("shape", "expression", "jaw_pose")
YAW_BINS = ((0, 5), (5, 30), (30, 60), (60, 90))
"""The benchmark's bins of |yaw|, degrees."""


@dataclass(frozen=True)
class EncoderRecipe:
    """The settings of the warm start, beside seed and steps (``params.weights.encoder``)."""

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


@dataclass(frozen=True)
class LossScales:
    """What counts as one unit of error in each output; the terms are then added."""

    vertices: float = 1e-3  # m: face vertices after scale and translation
    pixels: float = 2 / 128  # ndc: one pixel of a 128 px crop
    sigma: float = 10.0  # coefficients: a weight of 0.1
    rotation: float = 0.05  # rad
    camera_scale: float = 0.05  # relative
    camera_shift: float = 10e-3  # m
    jaw: float = 0.05  # rad
    light: float = 3.0
    located: float = 2 / 128 / 3  # ndc: landmarks that the encoder locates, a third of a pixel


def half_precision() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def sample_pool(sampler: Sampler, seed: int, subjects: int, label: str) -> Sample:
    """`subjects` random people in three views, drawn in chunks; equal seeds give equal pools."""
    chunks = []
    for index, begin in enumerate(tqdm(range(0, subjects, CHUNK), desc=label, disable=None)):
        chunks.append(sampler.sample(np.random.default_rng((seed, index)), min(CHUNK, subjects - begin), 3))
    return Sample(*(torch.cat(field) for field in zip(*chunks, strict=True)))


def make_sampler(flame: Flame, recipe: EncoderRecipe, seed: int) -> Sampler:
    """The sampler of the recipe, with skins of its own."""
    skins = texture_pool(flame, recipe.skins, recipe.skin_size, seed)
    return Sampler(flame, skins, recipe.size, SamplerOptions(supersample=1))


# -------------------------------------------------------------------------------------------------------------- losses


class FacePoints(NamedTuple):
    """Unrotated heads, metres."""

    face: Tensor  # [B,P,3] face vertices
    landmarks: Tensor  # [B,51,3] static landmarks
    root: Tensor  # [B,1,3] the joint that global rotation turns about


class FaceLosses:
    """Compares predictions with a sample's truth over the face region of one head model.

    At rest everything here is linear in the coefficients, so one small matrix product decodes them; what the true jaw
    does to the true head is added as a constant, and the jaw has a term of its own.
    """

    def __init__(self, flame: Flame, scales: LossScales | None = None, every: int = 3):
        """every: one face vertex in so many counts; an average over the face needs no more."""
        self.flame = flame
        self.scales = scales or LossScales()
        self.face = flame.masks["face"].nonzero()[::every, 0]
        count, device = flame.n_shape + flame.n_expression, flame.faces.device
        coefficients = torch.cat([torch.zeros(1, count), torch.eye(count)]).to(device)
        shape, expression = coefficients.split([flame.n_shape, flame.n_expression], 1)
        points = self.decode(shape, expression, torch.zeros(count + 1, 3, device=device))
        self.mean, self.basis = points[:1], (points[1:] - points[:1]).flatten(1)  # [1,P+52,3], [K,3(P+52)]

    @torch.no_grad()
    def decode(self, shape: Tensor, expression: Tensor, jaw_pose: Tensor) -> Tensor:
        """The head model itself: face vertices, static landmarks, root [B,P+52,3]."""
        out = self.flame(shape, expression, torch.zeros_like(jaw_pose), jaw_pose=jaw_pose)
        return torch.cat([out.vertices[:, self.face], out.landmarks[:, 17:], out.joints[:, :1]], 1)

    def linear(self, shape: Tensor, expression: Tensor) -> Tensor:
        """The same at rest, differentiable [B,P+52,3]."""
        return self.mean + (torch.cat([shape, expression], 1) @ self.basis).unflatten(1, self.mean.shape[1:])

    def true_heads(self, truth: Sample) -> tuple[Tensor, Tensor]:
        """The true heads with their jaws, and what the jaws add to the heads at rest; both [B,P+52,3]."""
        posed = self.decode(truth.shape, truth.expression, truth.jaw_pose)
        return posed, posed - self.linear(truth.shape, truth.expression)

    def of_model(self, prediction: Prediction, truth: Sample) -> Tensor:
        """The loss of one MFNet that was shown all views of the sample."""
        posed, opened = self.true_heads(truth)
        views = self.views(prediction, truth, split_points(posed))
        return self.person(prediction, truth, posed, opened) + views

    def __call__(self, predictions: dict[str, Prediction], truth: Sample, weights: dict[str, float]) -> Tensor:
        """The recipe's loss: persons of every variant, then the views, which all variants share."""
        posed, opened = self.true_heads(truth)
        views = truth.camera.shape[1]
        total = self.views(predictions["concat3"], truth, split_points(posed))
        for name, weight in weights.items():
            target, heads = truth, (posed, opened)
            if name == "concat1":
                target, heads = seen_once(truth), [part.repeat_interleave(views, 0) for part in heads]
            total = total + weight * self.person(predictions[name], target, *heads)
        return total

    def person(self, prediction: Prediction, truth: Sample, posed: Tensor, opened: Tensor) -> Tensor:
        """Shape, expression and jaw: aligned vertices in mm, landmarks in the views in px, coefficients in sigma.

        posed, opened [B,P+52,3]: the true head, and what its jaw adds to it.
        """
        scales = self.scales
        found = split_points(self.linear(prediction.shape, prediction.expression) + opened)
        shown = project(found.landmarks, found.root, prediction.global_pose, prediction.camera)  # [B,V,51,2]
        face, views = split_points(posed).face, shown.shape[1]
        terms = [
            (aligned(found.face, face) - face).abs().mean() / scales.vertices,
            (shown - truth.landmarks[:, :views, 17:]).abs().mean() / scales.pixels,
            (prediction.shape - truth.shape).abs().mean() / scales.sigma,
            (prediction.expression - truth.expression).abs().mean() / scales.sigma,
            (prediction.jaw_pose - truth.jaw_pose).abs().mean() / scales.jaw,
        ]
        return torch.stack(terms).sum()

    def views(self, prediction: Prediction, truth: Sample, heads: FacePoints) -> Tensor:
        """Pose, camera and light: each by itself, and the true face in the predicted view against the true view."""
        scales = self.scales
        shown = project(heads.face, heads.root, prediction.global_pose, prediction.camera)
        target = project(heads.face, heads.root, truth.global_pose, truth.camera)
        terms = [
            (shown - target).abs().mean() / scales.pixels,
            (prediction.global_pose - truth.global_pose).abs().mean() / scales.rotation,
            (prediction.camera[..., 0] / truth.camera[..., 0] - 1).abs().mean() / scales.camera_scale,
            (prediction.camera[..., 1:] - truth.camera[..., 1:]).abs().mean() / scales.camera_shift,
            (prediction.light - truth.light).abs().mean() / scales.light,
        ]
        return torch.stack(terms).sum()


def split_points(points: Tensor) -> FacePoints:
    """Points [B,P+51+1,3] by what they are."""
    return FacePoints(points[:, :-52], points[:, -52:-1], points[:, -1:])


def project(points: Tensor, root: Tensor, pose: Tensor, camera: Tensor) -> Tensor:
    """Unrotated points [B,N,3], turned about root [B,1,3] by pose [B,V,3], in cameras [B,V,3] -> ndc [B,V,N,2].

    FLAME's global rotation acts about its root joint and moves no corrective, so one decoding serves all views.
    """
    turned = torch.einsum("bvij,bnj->bvni", axis_angle_to_matrix(pose)[:, :, :2], points - root) + root[:, None, :, :2]
    return camera[..., None, :1] * (turned + camera[..., None, 1:])


def aligned(points: Tensor, target: Tensor) -> Tensor:
    """Points [B,N,3] moved and scaled (not turned) onto target [B,N,3] by least squares: size is unseen in one crop."""
    centred, goal = points - points.mean(1, keepdim=True), target - target.mean(1, keepdim=True)
    scale = (centred * goal).sum((1, 2), keepdim=True) / centred.square().sum((1, 2), keepdim=True)
    return scale * centred + target.mean(1, keepdim=True)


def seen_once(truth: Sample) -> Sample:
    """N subjects in V views as N x V subjects in one view each, in the order of ``concat1``."""
    views = truth.camera.shape[1]
    return Sample(
        *(
            field.repeat_interleave(views, 0) if name in PERSON else field.flatten(0, 1)[:, None]
            for name, field in truth._asdict().items()
        )
    )


# -------------------------------------------------------------------------------------------------------------- recipe


def pretrain_encoder(
    params: ModelParams,
    flame: Flame,
    seed: int,
    steps: int,
    recipe: EncoderRecipe | None = None,
    checkpoints: Path = CHECKPOINTS,
) -> tuple[StartNetwork, list[float]]:
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
    network = StartNetwork(params, flame).to(memory_format=torch.channels_last)
    losses = fit(network, flame, seed, steps, recipe, kept[0])
    network = refit(network, flame, seed, int(recipe.refit * steps), recipe, kept[1])
    for each in kept:
        each.remove()
    return network.eval(), losses


def shrink(images: Tensor) -> Tensor:
    """Images [N,V,3,H,W] uint8 at the side that the flat head sees, once instead of at every step."""
    small = resize(images.flatten(0, 1).float(), FLAT_SIDE).round().clamp(0, 255).to(torch.uint8)
    return small.unflatten(0, images.shape[:2])


def batches(rng: np.random.Generator, size: int, batch: int, steps: int) -> Tensor:
    """Indices [steps, batch]: shuffled passes over the pool, one after another."""
    passes = -(-steps * batch // size)
    order = np.concatenate([rng.permutation(size) for _ in range(passes)])[: steps * batch]
    return torch.from_numpy(order.reshape(steps, batch))


def fit(
    network: StartNetwork, flame: Flame, seed: int, steps: int, recipe: EncoderRecipe, kept: Checkpoints | None = None
) -> list[float]:
    """Train encoder and regressors together on a pool of renders; returns the loss of every step."""
    descent = Descent(network, recipe, steps, "weights@encoder", kept)
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
            features = network.encode(batch.images.float() / 255)
        predictions = network.predict(features.float())  # half a pixel's worth would be lost in half precision
        loss = losses(predictions, batch, dict(recipe.variants))
        if flat:
            located = network.encoder.located(features)
            loss = loss + (located - batch.landmarks).abs().mean() / losses.scales.located
        descent.step(loss)
    return descent.history


def refit(
    network: StartNetwork, flame: Flame, seed: int, steps: int, recipe: EncoderRecipe, kept: Checkpoints | None = None
) -> StartNetwork:
    """A network of the same encoder with regressors trained anew, on new people, while the encoder rests.

    Regressors that grew up beside a changing trunk stay behind what its features allow, and the trunk knows its own
    training images too well; features of images it never saw are computed once, so this costs little.
    """
    seed, fast = seed + PHASE, half_precision()
    torch.manual_seed(seed)
    fresh = StartNetwork(network.params, flame)
    fresh.encoder = network.encoder.eval()
    sampler, chunks = make_sampler(flame, recipe, seed), []
    for index in tqdm(range(-(-recipe.subjects // CHUNK)), desc="features", disable=None):
        sample = sampler.sample(np.random.default_rng((seed, index)), CHUNK, 3)
        images = shrink(sample.images) if network.params.head == "flat" else sample.images
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=fast):
            chunks.append(sample._replace(images=fresh.encode(images.float() / 255).float()))
    features = Sample(*(torch.cat(field) for field in zip(*chunks, strict=True)))  # its images are features
    regressors = nn.ModuleList([fresh.view_regressor, fresh.person_regressors])
    descent, losses = Descent(regressors, recipe, steps, "regressors", kept), FaceLosses(flame)
    order = batches(np.random.default_rng((seed, 1 << 30)), len(features.images), 2 * recipe.batch, steps)
    for step in descent:
        batch = Sample(*(field[order[step]] for field in features))
        descent.step(losses(fresh.predict(batch.images), batch, dict(recipe.variants)))
    return fresh


# ------------------------------------------------------------------------------------------------------------- figures


@torch.no_grad()
def measure_encoder(network: StartNetwork, flame: Flame, seed: int, size: int, subjects: int = 200) -> dict[str, float]:
    """Held-out figures on `subjects` new people: face error in mm after scale and translation, by model and by yaw.

    The seed is that of the training; `size` is the side of the crops, pixels.
    """
    recipe, held_out = EncoderRecipe(skins=HELD_OUT_SKINS, size=size), HELD_OUT + seed
    pool = sample_pool(make_sampler(flame, recipe, held_out), held_out, subjects, "held-out")
    parts = [network(images.float() / 255) for images in pool.images.split(CHUNK)]
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


def decode_face(flame: Flame, shape: Tensor, expression: Tensor, jaw_pose: Tensor) -> Tensor:
    """Face vertices [B,P,3] of unrotated heads, metres, in parts that fit the cache."""
    parts = zip(shape.split(CHUNK), expression.split(CHUNK), jaw_pose.split(CHUNK), strict=True)
    outs = [flame(s, e, torch.zeros_like(jaw), jaw_pose=jaw).vertices[:, flame.masks["face"]] for s, e, jaw in parts]
    return torch.cat(outs)


def face_error(found: Tensor, truth: Tensor) -> Tensor:
    """Mean vertex distance [M] in mm after scale and translation; found [M,P,3]: M/N guesses for each of N heads."""
    target = truth.repeat_interleave(len(found) // len(truth), 0)
    return 1000 * (aligned(found, target) - target).norm(dim=-1).mean(1)


def by_yaw(values: Tensor, yaw: Tensor, label: str = "one_view_mm") -> dict[str, float]:
    """Means of values [M] over the benchmark's bins of |yaw| [M] in degrees."""
    figures = {}
    for low, high in YAW_BINS:
        inside = (yaw.abs() >= low) & (yaw.abs() < high)
        if inside.any():
            figures[f"{label}_yaw_{low}_{high}"] = float(values[inside].mean())
    return figures


def view_figures(parts: list[dict[str, Prediction]], pool: Sample) -> dict[str, float]:
    """How well each view's pose and camera are known: mean angle in degrees, scale in percent, shift in mm."""
    pose, camera = (torch.cat([getattr(part["concat3"], name) for part in parts]) for name in ("global_pose", "camera"))
    turn = axis_angle_to_matrix(pose).mT @ axis_angle_to_matrix(pool.global_pose)
    angle = ((turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).acos()
    return {
        "rotation_deg": float(torch.rad2deg(angle).mean()),
        "camera_scale_percent": float(100 * (camera[..., 0] / pool.camera[..., 0] - 1).abs().mean()),
        "camera_shift_mm": float(1000 * (camera[..., 1:] - pool.camera[..., 1:]).norm(dim=-1).mean()),
    }
