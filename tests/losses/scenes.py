"""Rendered people whose parameters are known, for the tests of losses and training."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch

from mfnet.datasets.triplets import TripletBatch
from mfnet.model.parameters import Prediction
from mfnet.synthetic import sampler as sampling
from mfnet.synthetic.subjects import texture_pool
from tests.heads import open_flame
from tests.settings import CROP_SCALE, PLAIN_SAMPLER, having

SIZE = 128


@dataclass(frozen=True)
class Scene:
    """Photographs of people from three sides, and the parameters they were rendered with."""

    batch: TripletBatch
    truth: Prediction

    def disturbed(self, share: float) -> Prediction:
        """The truth, moved by `share` of a fixed random disturbance of everything: about 5 px where `share` is 1."""
        generator = torch.Generator().manual_seed(1)

        def noise(like: torch.Tensor, size: float) -> torch.Tensor:
            return share * size * torch.randn(like.shape, generator=generator)

        person, views = self.truth.person, self.truth.views
        return with_codes(
            self.truth,
            shape=person.shape + noise(person.shape, 0.4),
            expression=person.expression + noise(person.expression, 0.05),
            jaw_pose=person.jaw_pose + noise(person.jaw_pose, 0.03),
            global_pose=views.global_pose + noise(views.global_pose, 0.03),
            camera=views.camera * (1 + noise(views.camera[:, :1], 0.01)),
        )


def with_codes(prediction: Prediction, **codes: torch.Tensor) -> Prediction:
    """The prediction with other codes, by the names of the fields of its person and views."""
    person = {name: value for name, value in codes.items() if name in vars(prediction.person)}
    views = {name: value for name, value in codes.items() if name not in person}
    return Prediction(replace(prediction.person, **person), replace(prediction.views, **views))


@cache
def rendered_scene(distance: float | None = None) -> Scene:
    """Four people under even light, without noise, side views turned by 10 to 50 degrees.

    distance: of the cameras, metres; None: no perspective.
    """
    flame, even = open_flame(), np.zeros((9, 3))
    even[0] = 1.0
    cameras = {"orthographic_share": 1.0} if distance is None else {"nearest": distance, "farthest": distance}
    options = having(PLAIN_SAMPLER, **{"orthographic_share": 0.0} | cameras, pitch=9.0, degrade=False)
    crop = sampling.CropFormat(SIZE, CROP_SCALE, 2)
    sampler = sampling.Sampler(flame, texture_pool(flame, 2, 256, seed=0), crop, options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "random_photo_light", lambda rng: even)
        patch.setitem(sampling.YAWS, 3, ((-5.0, 5.0), (-50.0, -10.0), (10.0, 50.0)))
        sample = sampler.sample(np.random.default_rng(0), 4)
    truth = with_codes(Prediction(sample.person, sample.views), albedo=torch.zeros(4, 3, 50))
    ids = torch.arange(4)
    return Scene(TripletBatch(ids, ids, sample.images, sample.landmarks, sample.yaw), truth)
