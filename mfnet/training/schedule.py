"""The learning rate as a function of the step alone, so that nothing about it needs to be resumed; and the plain
descent of the recipes that make start weights."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR


def learning_rate(step: int, total: int, peak: float, warmup: int, schedule: str) -> float:
    """The rate of step 0 .. total - 1: linear warm-up over `warmup` steps to `peak`, then ``constant`` or ``cosine``
    to 0.

    The warm-up is cut to a tenth of a run that is shorter than ten warm-ups.
    """
    warmup = min(warmup, total // 10)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def warmup_cosine(steps: int, warmup: int = 30) -> Callable[[int], float]:
    """Factor of the learning rate by step: linear warm-up, then half a cosine down to zero."""
    return lambda step: min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))


class Descent:
    """AdamW with clipped gradients over a fixed number of steps, `warmup_cosine` times the peak rate `lr`."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, clip: float, steps: int):
        self.parameters, self.clip = list(parameters), clip
        self.optimiser = torch.optim.AdamW(self.parameters, lr=lr, weight_decay=weight_decay, fused=True)
        self.schedule = LambdaLR(self.optimiser, warmup_cosine(steps))

    def step(self, loss: Tensor) -> float:
        """Go one step down the gradient of a scalar loss -> its value."""
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimiser.step()
        self.schedule.step()
        return loss.item()

    def state_dict(self) -> dict:
        """What `load_state_dict` needs to go on as if nothing had happened."""
        return {"optimiser": self.optimiser.state_dict(), "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a `state_dict` of a descent with the same parameters and steps."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
