"""The learning rate as a function of the step alone, so that nothing about it needs to be resumed."""

import math


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
