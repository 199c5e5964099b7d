"""Beyond the paper: supervised renders of random heads mixed into every step, so that what the warm start knew is
kept."""

import copy

import numpy as np
import torch
from torch import Tensor

from mfnet.losses.supervised import FaceLosses, seen_once
from mfnet.model.mfnet import Prediction
from mfnet.params import Params, SupervisionParams
from mfnet.synthetic.sampler import CropFormat, Sample, Sampler
from mfnet.synthetic.subjects import texture_pool

PER_VIEW = ("images", "landmarks", "visible", "global_pose", "camera", "light", "yaw")
"""Fields of a sample with an axis of views."""


class Supervision:
    """Random people with known parameters, `share` of all triplets of a step, and their loss."""

    def __init__(self, flame, config: SupervisionParams, params: Params):
        """config: ``train.supervision`` of `params`, which say the rest: crops, random heads, losses, batch, views."""
        self.config, self.views, self.seed = config, params.model.views, params.train.seed
        self.count = max(1, round(params.train.batch_size * config.share / (1 - config.share)))
        self.losses = FaceLosses(flame, params.supervised)
        on_cpu = copy.deepcopy(flame).cpu()
        skins = texture_pool(on_cpu, config.skins, config.skin_size, self.seed)
        crop = CropFormat(params.triplets.image_size, params.triplets.crop_scale, config.supersample)
        self.sampler = Sampler(on_cpu, skins, crop, params.sampler)

    def draw(self, position: int, rank: int, device: torch.device) -> Sample:
        """The random triplets of a step; equal positions give equal ones, so nothing needs to be resumed."""
        sample = self.sampler.sample(np.random.default_rng((self.seed, position, rank)), self.count, 3)
        return Sample(*(field.to(device) for field in sample))

    def loss(self, prediction: Prediction, truth: Sample) -> Tensor:
        """Supervised loss, weighted, of the network's answer to the sample (its views as the network takes them)."""
        if self.views == 1:
            truth = seen_once(truth)
        else:
            truth = truth._replace(**{name: getattr(truth, name)[:, : self.views] for name in PER_VIEW})
        return self.config.weight * self.losses.of_model(prediction, truth)
