"""One optimisation step of MFNet, and the state that a checkpoint holds."""

import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mfnet.datasets.triplets import TripletBatch
from mfnet.errors import InputError
from mfnet.io.files import atomic_path
from mfnet.io.images import to_float
from mfnet.io.tensors import save_torch
from mfnet.losses.total import Objective, gradient_shares, total_loss
from mfnet.model.mfnet import MFNet
from mfnet.model.parameters import Prediction
from mfnet.params import TrainParams
from mfnet.training.distributed import Process
from mfnet.training.schedule import learning_rate
from mfnet.training.supervision import Supervision

SHARE_STEPS = 10
"""Steps between measurements of each term's share of the gradient."""

SMOOTHING = 0.9
"""Decay of the running loss that the divergence stop watches."""


class NumericalError(InputError):
    """A loss or gradient that is not finite; the message names the term and the file that holds the batch."""


def views_of(images: Tensor, views: int) -> Tensor:
    """The network's inputs from triplets [B, 3, 3, H, W]: the first `views` slots, or, for one view, each slot alone.

    Returns [N, views, 3, H, W] with N = B, or 3 B for a single-view network.
    """
    return images.flatten(0, 1)[:, None] if views == 1 else images[:, :views]


class Trainer:
    """Model, averaged model, optimiser and position of a run; `step` moves all of them on by one batch."""

    def __init__(
        self,
        model: MFNet,
        objective: Objective,
        params: TrainParams,
        steps: int,
        process: Process,
        supervision: Supervision | None = None,
    ) -> None:
        """steps: those of the whole run, which the schedule needs. `model` is moved to the process's device."""
        self.params = params
        self.objective = objective
        self.steps = steps
        self.process = process
        self.supervision = supervision
        # torch's stubs take a device or a memory format, not both.
        self.model: MFNet = model.to(process.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.views = model.params.views
        self.wrapped = self.model
        if process.world > 1:
            devices = [process.device.index] if process.device.type == "cuda" else None
            self.wrapped = DistributedDataParallel(self.model, device_ids=devices)
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=params.lr, weight_decay=params.weight_decay)
        self.averaged = None
        if params.ema:
            average = get_ema_multi_avg_fn(params.ema)
            self.averaged = AveragedModel(self.model, multi_avg_fn=average, use_buffers=True)
        self.scaler = torch.amp.GradScaler(process.device.type, enabled=params.precision == "16-mixed")
        self.position = 0
        self.running: float | None = None
        self.best = math.inf
        self.diverged = False

    @property
    def result(self) -> MFNet:
        """The weights to keep: averaged ones where there are."""
        return self.model if self.averaged is None else cast(MFNet, self.averaged.module)  # torch says: a module

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of the network's forward pass."""
        if self.params.precision == "32":
            return nullcontext()
        dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}[self.params.precision]
        return torch.autocast(self.process.device.type, dtype)

    def step(self, batch: TripletBatch, dump: Path) -> dict[str, float]:
        """Learn from one batch (already on the device) and return the row of the history.

        Raises NumericalError, with the batch written to `dump`, where an output of the network, a term or the gradient
        is not finite.
        """
        rate = self._set_rate()
        self.model.train()
        prediction, supervised = self._predict(batch)
        self._guard({name: value.abs().max() for name, value in prediction.named_tensors().items()}, batch, dump)
        terms = self.objective(prediction, batch, self.position, model=self.model)
        total = total_loss(terms, self.objective.params) + sum(supervised.values())
        self._guard({**terms, **supervised, "total": total}, batch, dump)
        shares = {}
        if self.position % SHARE_STEPS == 0:
            codes = [code for code in prediction.tensors() if code.requires_grad]
            shares = gradient_shares(terms, self.objective.params, codes)
        norm = self._descend(total, batch, dump)
        losses = {"total": total, **terms, **supervised}
        values = torch.stack([*losses.values()]).tolist()  # one wait for the device
        row = dict(zip(losses, self.process.mean(values), strict=True))
        self._watch(row["total"])
        self.position += 1
        return row | {"lr": rate, "grad_norm": norm} | {f"share/{name}": value for name, value in shares.items()}

    def _predict(self, batch: TripletBatch) -> tuple[Prediction, dict[str, Tensor]]:
        """The prediction for the batch (`Prediction.per_view`), and the weighted loss of its supervised renders."""
        images, sample = batch.pixels(), None
        if self.supervision is not None:
            sample = self.supervision.draw(self.position, self.process.rank, images.device)
            images = torch.cat([images, to_float(sample.images)])
        inputs = views_of(images, self.views)
        with self.autocast():
            prediction = self.wrapped(inputs)
        prediction = prediction.float()
        real = len(inputs) * len(batch.triplet) // len(images)
        of_batch = prediction[:real].per_view(len(batch.triplet))
        if self.supervision is None or sample is None:
            return of_batch, {}
        return of_batch, {"supervised": self.supervision.loss(prediction[real:], sample)}

    def _set_rate(self) -> float:
        params = self.params
        rate = learning_rate(self.position, self.steps, params.lr, params.warmup_steps, params.schedule)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return rate

    def _descend(self, total: Tensor, batch: TripletBatch, dump: Path) -> float:
        """Backward, clip, update; returns the gradient norm before clipping."""
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.params.clip)
        if not self.scaler.is_enabled():  # the scaler skips steps of infinite gradient by itself: that is its search
            self._guard({"gradient": norm}, batch, dump)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        return norm.item()

    def _guard(self, values: dict[str, Tensor], batch: TripletBatch, dump: Path) -> None:
        if torch.stack([value.detach().float() for value in values.values()]).isfinite().all():  # one wait
            return
        bad = [name for name, value in values.items() if not torch.isfinite(value)]
        with atomic_path(dump) as beside:
            held = {name: value for name, value in vars(batch.to(torch.device("cpu"))).items() if name != "cameras"}
            held |= {} if batch.cameras is None else batch.cameras.to("cpu").named_tensors()
            with open(beside, "wb") as file:
                save_torch({"step": self.position, "terms": {n: v.item() for n, v in values.items()}, **held}, file)
        triplets = ", ".join(map(str, batch.triplet.tolist()))
        raise NumericalError(
            f"step {self.position}: {', '.join(bad)} not finite; the batch (triplets {triplets}) is in {dump}: look at "
            "it, or lower train.lr"
        )

    def _watch(self, total: float) -> None:
        """Flag divergence: the running loss is more than `divergence` times its best."""
        self.running = total if self.running is None else SMOOTHING * self.running + (1 - SMOOTHING) * total
        self.best = min(self.best, self.running)
        self.diverged = self.running > self.params.divergence * self.best

    def state(self) -> dict:
        """Everything that later steps depend on, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "watch": [self.position, self.running, self.best, self.diverged],
            "random": torch.get_rng_state(),
        }

    def restore(self, state: dict) -> None:
        """Go back to a `state`."""
        self.model.load_state_dict(state["model"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.position, self.running, self.best, self.diverged = state["watch"]
        torch.set_rng_state(state["random"].cpu())
