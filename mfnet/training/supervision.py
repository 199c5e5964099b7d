"""Beyond the paper: mix supervised renders of random heads into every step, so that training keeps what the
pre-trained weights know."""

import copy
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mfnet.flame import Flame
from mfnet.io.checkpoints import run_key
from mfnet.losses.supervised import FaceLosses
from mfnet.model.parameters import Prediction
from mfnet.params import Params, SupervisionParams
from mfnet.synthetic.sampler import CropFormat, Sample, Sampler
from mfnet.synthetic.subjects import texture_pool
from mfnet.training.renders import RenderStore

RENDERS = Path(".mfnet/renders")
MOST_BYTES = 512 << 20
"""Most bytes of images that one run keeps."""


class Supervision:
    """Random people with known parameters, `share` of all triplets of a step, and their loss."""

    def __init__(
        self, flame: Flame, config: SupervisionParams, params: Params, steps: int, root: Path = RENDERS
    ) -> None:
        """config: ``train.supervision`` of `params`, which say the rest: crops, random heads, losses, batch, views.

        steps: of the run; what all of them draw is kept below `root` for other runs, up to `MOST_BYTES` of images.
        """
        self.config, self.steps = config, steps
        self.views = params.model.views
        self.seed = params.train.seed
        self.count = max(1, round(params.train.batch_size * config.share / (1 - config.share)))
        self.losses = FaceLosses(flame, params.supervised)
        self.flame, self.options = copy.deepcopy(flame).cpu(), params.sampler
        self.crop = CropFormat(params.triplets.image_size, params.triplets.crop_scale, config.supersample)
        self.store = None
        if steps * self.count * 9 * self.crop.size**2 <= MOST_BYTES:
            key = run_key(self._settings(), [])
            self.store = RenderStore(root, key)

    def _settings(self) -> dict:
        """All that the triplets depend on, as JSON values."""
        return {
            "head": self.flame.content_hash,
            "coefficients": [self.flame.n_shape, self.flame.n_expression],
            "supervision": self.config.model_dump(exclude={"weight"}),
            "sampler": self.options.model_dump(),
            "crop": list(self.crop),
            "seed": self.seed,
            "count": self.count,
        }

    @cached_property
    def sampler(self) -> Sampler:
        """Made, with its skins, when the first triplet is drawn."""
        skins = texture_pool(self.flame, self.config.skins, self.config.skin_size, self.seed)
        return Sampler(self.flame, skins, self.crop, self.options)

    def draw(self, position: int, rank: int, device: torch.device) -> Sample:
        """The random triplets of a step; equal positions give equal ones, so nothing needs to be resumed."""

        def sample(step: int) -> Sample:
            return self.sampler.sample(np.random.default_rng((self.seed, step, rank)), self.count, 3)

        drawn = sample(position) if self.store is None else self.store.get(position, rank, sample, self.steps)
        return drawn.to(device)

    def loss(self, prediction: Prediction, truth: Sample) -> Tensor:
        """Weighted supervised loss of a prediction for the sample, whose views are as the network takes them."""
        truth = truth.as_single_views() if self.views == 1 else truth.first_views(self.views)
        return self.config.weight * self.losses.of_model(prediction, truth)
