"""Pools of random people that the pre-trainings draw once, and the order in which their steps take them."""

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mfnet.synthetic.sampler import Sample, Sampler

CHUNK = 50
"""Subjects per call of the sampler."""
HELD_OUT = 1_000_003
"""Added to a network's seed: held-out people, skins and lights come from another stream than the training's."""
PHASE = 500_009
"""Added to a network's seed once for every phase after the first: each draws people, skins and lights of its own."""


def sample_pool(sampler: Sampler, seed: int, subjects: int, label: str) -> Sample:
    """`subjects` random people in three views, drawn in chunks; equal seeds give equal pools."""
    chunks = []
    for index, begin in enumerate(tqdm(range(0, subjects, CHUNK), desc=label, disable=None)):
        chunks.append(sampler.sample(np.random.default_rng((seed, index)), min(CHUNK, subjects - begin), 3))
    return Sample.cat(chunks)


def batches(rng: np.random.Generator, size: int, batch: int, steps: int) -> Tensor:
    """Indices [steps, batch]: shuffled passes over the pool, one after another."""
    passes = -(-steps * batch // size)
    order = np.concatenate([rng.permutation(size) for _ in range(passes)])[: steps * batch]
    return torch.from_numpy(order.reshape(steps, batch))
