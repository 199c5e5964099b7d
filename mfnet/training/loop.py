"""Training MFNet on triplets (eq. 11): one loop for a CPU, a GPU, and several of them under torchrun.

On a CPU the result is a function of params and input files alone: order, pairs and augmentation follow from the seed
and the step, and an interrupted run resumes to the same bits. Nothing here reads ground truth.
"""

import copy
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from mfnet.datasets.plan import SLOTS
from mfnet.datasets.triplets import TripletShards
from mfnet.errors import InputError
from mfnet.flame import Flame
from mfnet.flow import calibrate, load_flow
from mfnet.io.checkpoints import Checkpoints, run_key
from mfnet.io.files import write_json, write_table
from mfnet.losses.flow import Estimate
from mfnet.losses.total import Objective
from mfnet.model.mfnet import Crops, save_mfnet
from mfnet.model.pretrained import mfnet_from_pretrained
from mfnet.params import LossParams, Params, TrainParams
from mfnet.training import distributed
from mfnet.training.distributed import Process
from mfnet.training.supervision import Supervision
from mfnet.training.trainer import Trainer
from mfnet.training.validation import validate

CALIBRATION_TRIPLETS = 2
"""Triplets on which the flow estimator is tried before training."""

OnEpoch = Callable[[int, dict[str, float]], None]
"""Called after each epoch with the number of steps so far and metrics by name, times and memory among them."""


@dataclass(frozen=True)
class TrainingFiles:
    """The files a run reads: triplet shards of both splits, the start of the encoder, the flow network's weights."""

    shards: Sequence[Path]
    validation: Sequence[Path]
    encoder: Path
    flow: Path

    def files(self) -> list[Path]:
        """All of them, in a fixed order."""
        return [*sorted(self.shards), *sorted(self.validation), self.encoder, self.flow]


def train(
    params: Params,
    flame: Flame,
    inputs: TrainingFiles,
    out: Path,
    checkpoints: Path = Path(".mfnet/checkpoints"),
    on_epoch: OnEpoch | None = None,
) -> dict[str, float | None]:
    """Train and write ``model.safetensors``, ``metrics.json`` and ``history.parquet`` into the folder `out`.

    An interrupted run with equal params, inputs, code and `out` is resumed from its checkpoint, which a finished run
    removes. Returns the metrics (in the first process; elsewhere nothing). Raises InputError for inputs that cannot
    be used, and NumericalError (one line, with the first bad batch written to a file) where the loss or its gradient
    is not finite.
    """
    with distributed.process() as process:
        set_up(params.train)
        settings = {
            "model": params.model.model_dump(),
            "loss": params.loss.model_dump(),
            "train": params.train.model_dump(),
            "sampler": params.sampler.model_dump(),
            "supervised": params.supervised.model_dump(),
            "crops": [params.triplets.image_size, params.triplets.crop_scale],
            "head": flame.content_hash,
            "world": [process.world, process.device.type],
            "out": out.as_posix(),  # `train` and the variant `full` are equal otherwise, and run side by side
        }
        saved = Checkpoints(checkpoints, run_key(settings, inputs.files()))
        shards = TripletShards(sorted(inputs.shards))
        trainer = _trainer(params, _on(process.device, flame), inputs, shards, process)
        record = _resume(trainer, saved)
        _epochs(trainer, shards, inputs, record, saved, on_epoch)
        metrics = _metrics(trainer, record) if process.first else {}
        if process.first:
            crops = Crops(params.triplets.image_size, params.triplets.crop_scale)
            save_mfnet(trainer.result, out / "model.safetensors", crops)
            write_table(pd.DataFrame(record.history), out / "history.parquet")
            write_json(metrics, out / "metrics.json")
            saved.remove()
        process.wait()
    return metrics


def _on(device: torch.device, flame: Flame) -> Flame:
    """The head on `device`; `to` would move the caller's own."""
    return flame if device == flame.faces.device else copy.deepcopy(flame).to(device)


def set_up(params: TrainParams) -> None:
    """Seeds, threads and deterministic kernels for this process."""
    torch.manual_seed(params.seed)
    torch.set_num_threads(params.threads)
    cv2.setNumThreads(1)  # DIS flow cuts the image into one stripe per thread, and its result depends on the stripes
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())


@dataclass
class Record:
    """History of a run: one row a step, and the validations before each epoch and after the last."""

    history: list[dict]
    validations: list[dict[str, float]]


def _trainer(params: Params, flame: Flame, inputs: TrainingFiles, shards: TripletShards, process: Process) -> Trainer:
    size = params.train.batch_size
    per_epoch = steps_of_epoch(len(shards), size, process.world)
    if per_epoch == 0:
        raise InputError(
            f"train.batch_size: {size} triplets for each of {process.world} processes, but the shards hold "
            f"{len(shards)}: lower it"
        )
    model = mfnet_from_pretrained(params.model, flame, inputs.encoder)
    objective = Objective(flame, params.loss, params.model.n_albedo, _estimate(params.loss, inputs, shards, process))
    supervision, steps = None, per_epoch * params.train.epochs
    if params.train.supervision is not None:
        supervision = Supervision(flame, params.train.supervision, params, steps)
    return Trainer(model, objective, params.train, steps, process, supervision)


def _estimate(params: LossParams, inputs: TrainingFiles, shards: TripletShards, process: Process) -> Estimate:
    """F of eq. 6 on this process's device, refused if it sees flow between equal images."""
    estimator = load_flow(params.flow_estimator, inputs.flow)
    if isinstance(estimator, torch.nn.Module):
        estimator = estimator.to(process.device)
    first = next(shards.batches([shards.order(None)[:CALIBRATION_TRIPLETS]]))
    calibrate(estimator, first.to(process.device).pixels().flatten(0, 1))
    return estimator.flow


def _resume(trainer: Trainer, saved: Checkpoints) -> Record:
    """Bring the trainer to where the checkpoint stands; returns the record so far."""
    state = saved.load(trainer.process.device)
    if state is None:
        return Record([], [])
    trainer.restore(state["trainer"])
    if trainer.process.first:
        tqdm.write(f"resuming at step {trainer.position} of {trainer.steps} from {saved.path}")
    return Record(state["history"], state["validations"])


def _epochs(
    trainer: Trainer,
    triplets: TripletShards,
    inputs: TrainingFiles,
    record: Record,
    saved: Checkpoints,
    on_epoch: OnEpoch | None,
) -> None:
    """Train from the trainer's position to the end of the run, or until it diverges."""
    process, params = trainer.process, trainer.params
    validation = TripletShards(sorted(inputs.validation))
    per_epoch = trainer.steps // params.epochs

    def save() -> None:
        if process.first:
            saved.save({"trainer": trainer.state(), "history": record.history, "validations": record.validations})

    def check() -> None:
        if process.first:
            record.validations.append(validate(trainer, validation))
            save()
        process.wait()

    if not record.validations:
        check()
    disable = None if process.first else True  # None: where there is no terminal
    bar = tqdm(total=trainer.steps, initial=trainer.position, desc="train", unit="step", disable=disable)
    while trainer.position < trainer.steps and not trainer.diverged:
        epoch, done = divmod(trainer.position, per_epoch)
        rows = epoch_rows(triplets, params, epoch, process)[done:per_epoch]
        clock = time.perf_counter()
        for batch in triplets.batches(rows, params.threads, pinned=process.device.type == "cuda"):
            row = trainer.step(batch.to(process.device), saved.folder / "bad_batch.pt")
            record.history.append({"step": trainer.position - 1, "epoch": epoch, **row})
            bar.set_postfix(loss=f"{row['total']:.4f}", refresh=False)
            bar.update()
            if trainer.diverged:
                break
            if trainer.position % params.checkpoint_steps == 0 and trainer.position % per_epoch:
                save()
        speed = sum(map(len, rows)) * process.world * len(SLOTS) / (time.perf_counter() - clock)
        check()
        if on_epoch is not None and process.first:
            measured = {"images_per_s": speed, "memory_mb": peak_memory(process.device)}
            on_epoch(trainer.position, _summary(record) | measured)
    bar.close()


def epoch_rows(triplets: TripletShards, params: TrainParams, epoch: int, process: Process) -> list[np.ndarray]:
    """This process's batches of an epoch as rows of the shards.

    A step takes `batch_size` triplets for each process. What remains is shared in one more, smaller step, if it fills
    the batch of one process at least: less than a batch is left out (and less than one triplet a process).
    """
    order, size, world = triplets.order(params.seed, epoch), params.batch_size, process.world
    whole = len(order) // (size * world)
    rows = [order[(step * world + process.rank) * size :][:size] for step in range(whole)]
    if steps_of_epoch(len(order), size, world) > whole:
        rest = order[whole * size * world :]
        share = len(rest) // world
        rows.append(rest[process.rank * share :][:share])
    return rows


def steps_of_epoch(triplets: int, size: int, world: int) -> int:
    """How many batches each of `world` processes has in an epoch."""
    whole, rest = divmod(triplets, size * world)
    return whole + (rest >= max(size, world))


def peak_memory(device: torch.device) -> float:
    """The most memory this process has held, MB: of the GPU where there is one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def _summary(record: Record) -> dict[str, float]:
    """Means over the last epoch's steps, and the last validation."""
    last = pd.DataFrame(record.history)
    means = last[last.epoch == last.epoch.max()].drop(columns=["step", "epoch"]).mean()
    trained = {f"train/{name}": float(value) for name, value in means.items() if np.isfinite(value)}
    return trained | {f"val/{name}": value for name, value in record.validations[-1].items()}


def _metrics(trainer: Trainer, record: Record) -> dict[str, float | None]:
    """``train/*`` and ``val/*`` of the end, ``start/*``: the validation before the first step, totals of each epoch.

    What is not finite (a diverged run) is None: JSON has no NaN.
    """
    start = {f"start/{name}": value for name, value in record.validations[0].items()}
    totals = {f"val_total/epoch_{epoch}": terms["total"] for epoch, terms in enumerate(record.validations)}
    state = {"steps": trainer.position, "diverged": int(trainer.diverged)}
    metrics = _summary(record) | start | totals | state
    return {name: value if np.isfinite(value) else None for name, value in metrics.items()}
