"""Beyond the paper: mix supervised renders of random heads into every step, so that training keeps what the
pre-trained weights know."""

import copy

import numpy as np
import torch
from torch import Tensor

from mfnet.losses.supervised import FaceLosses
from mfnet.model.parameters import Prediction
from mfnet.synthetic.sampler import Sample, Sampler
from mfnet.synthetic.subjects import texture_pool

SKINS, SKIN_SIZE = 24, 256
"""Skins of the random heads, and the side of their textures in pixels."""
WEIGHT = 2 / 128
"""Of the supervised loss, whose unit is a pixel of a 128 px crop, beside losses in ndc."""


class Supervision:
    """Random people with known parameters, `share` of all triplets of a step, and their loss."""

    def __init__(self, flame, share: float, batch: int, size: int, views: int, seed: int):
        """batch: real triplets in a step; size: side of the crops, pixels; views: of the network."""
        self.count = max(1, round(batch * share / (1 - share)))
        self.views = views
        self.seed = seed
        self.losses = FaceLosses(flame)
        on_cpu = copy.deepcopy(flame).cpu()
        self.sampler = Sampler(on_cpu, texture_pool(on_cpu, SKINS, SKIN_SIZE, seed), size)

    def draw(self, position: int, rank: int, device: torch.device) -> Sample:
        """The random triplets of a step; equal positions give equal ones, so nothing needs to be resumed."""
        return self.sampler.sample(np.random.default_rng((self.seed, position, rank)), self.count, 3).to(device)

    def loss(self, prediction: Prediction, truth: Sample) -> Tensor:
        """Weighted supervised loss of a prediction for the sample, whose views are as the network takes them."""
        truth = truth.as_single_views() if self.views == 1 else truth.first_views(self.views)
        return WEIGHT * self.losses.of_model(prediction, truth)
