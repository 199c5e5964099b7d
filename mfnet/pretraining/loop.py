"""The loop of the pre-trainings: AdamW down a cosine, with a progress bar and a checkpoint.

A pre-training takes from minutes to hours of two cores; a killed one goes on where its last checkpoint left it.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from mfnet.flame import Flame
from mfnet.io.checkpoints import Checkpoints, run_key
from mfnet.params import Optimisation, Section

CHECKPOINTS = Path(".mfnet/checkpoints")
SAVE_EVERY = 100
"""Steps between checkpoints."""


def warmup_cosine(steps: int, warmup: int) -> Callable[[int], float]:
    """Factor of the learning rate by step: linear warm-up, then half a cosine down to zero."""
    return lambda step: min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(steps, 1)))))


def pretraining_checkpoints(
    root: Path, name: str, flame: Flame, sections: Sequence[Section], **more: Any
) -> Checkpoints:
    """Where a pre-training keeps its state: a folder named by all that its result depends on.

    sections: of the params, in a fixed order; more: what else it depends on, JSON values.
    """
    read = [section.model_dump() for section in sections]
    settings = {"network": name, "head": flame.content_hash, "sections": read, **more}
    counts = {"n_shape": flame.n_shape, "n_expression": flame.n_expression}
    return Checkpoints(root, run_key(settings | counts, []))


class TrainingLoop:
    """Optimises a network by AdamW with clipped gradients and a learning rate of `warmup_cosine` times its peak.

        for step in loop:
            loop.step(loss of the step)

    Takes up an earlier run where the checkpoint left it. The last state stays until `saved.remove()`.
    """

    def __init__(
        self,
        network: nn.Module,
        config: Optimisation,
        steps: int,
        label: str,
        saved: Checkpoints | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        """steps: of this phase; rng: what the steps draw from, resumed with the rest."""
        self.network, self.steps, self.label, self.saved, self.rng = network, steps, label, saved, rng
        self.parameters, self.clip = list(network.parameters()), config.clip
        self.optimiser = torch.optim.AdamW(self.parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True)
        self.schedule = LambdaLR(self.optimiser, warmup_cosine(steps, config.warmup_steps))
        self.history: list[float] = []
        """Loss of every step so far."""
        state = saved.load(self.parameters[0].device) if saved else None
        if state is not None:
            self._restore(state)

    @property
    def done(self) -> bool:
        """Whether all steps are made."""
        return len(self.history) == self.steps

    def __iter__(self) -> Iterator[int]:
        first = len(self.history)
        bar = tqdm(range(first, self.steps), desc=self.label, initial=first, total=self.steps, disable=None)
        for step in bar:
            yield step
            bar.set_postfix(loss=f"{self.history[-1]:.2f}")
            if self.saved and (self.done or len(self.history) % SAVE_EVERY == 0):
                self.saved.save(self._state())

    def step(self, loss: Tensor) -> None:
        """Go one step down the gradient of a scalar loss."""
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimiser.step()
        self.schedule.step()
        self.history.append(loss.item())

    def _state(self) -> dict:
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "history": self.history,
            "rng": json.dumps(self.rng.bit_generator.state) if self.rng else None,
        }

    def _restore(self, state: dict) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.history = state["history"]
        if self.rng:
            self.rng.bit_generator.state = json.loads(state["rng"])


def half_precision() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
