"""Beyond the paper: mix supervised renders of random heads into every step, so that training keeps what the
pre-trained weights know."""

import copy

import numpy as np
import torch
from torch import Tensor

from mfnet.flame import Flame
from mfnet.losses.supervised import FaceLosses
from mfnet.model.parameters import Prediction
from mfnet.params import Params, SupervisionParams
from mfnet.synthetic.sampler import CropFormat, Sample, Sampler
from mfnet.synthetic.subjects import texture_pool


class Supervision:
    """Random people with known parameters, `share` of all triplets of a step, and their loss."""

    def __init__(self, flame: Flame, config: SupervisionParams, params: Params) -> None:
        """config: ``train.supervision`` of `params`, which say the rest: crops, random heads, losses, batch, views."""
        self.config = config
        self.views = params.model.views
        self.seed = params.train.seed
        self.count = max(1, round(params.train.batch_size * config.share / (1 - config.share)))
        self.losses = FaceLosses(flame, params.supervised)
        on_cpu = copy.deepcopy(flame).cpu()
        skins = texture_pool(on_cpu, config.skins, config.skin_size, self.seed)
        crop = CropFormat(params.triplets.image_size, params.triplets.crop_scale, config.supersample)
        self.sampler = Sampler(on_cpu, skins, crop, params.sampler)

    def draw(self, position: int, rank: int, device: torch.device) -> Sample:
        """The random triplets of a step; equal positions give equal ones, so nothing needs to be resumed."""
        return self.sampler.sample(np.random.default_rng((self.seed, position, rank)), self.count, 3).to(device)

    def loss(self, prediction: Prediction, truth: Sample) -> Tensor:
        """Weighted supervised loss of a prediction for the sample, whose views are as the network takes them."""
        truth = truth.as_single_views() if self.views == 1 else truth.first_views(self.views)
        return self.config.weight * self.losses.of_model(prediction, truth)
