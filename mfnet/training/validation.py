"""Validate the present weights on held-out triplets: every term of eq. 11, and the landmark error in pixels."""

import torch

from mfnet.datasets.triplets import TripletBatch, TripletShards
from mfnet.errors import InputError
from mfnet.losses.landmarks import weighted_mean
from mfnet.losses.total import total_loss
from mfnet.model.projection import DecodedHeads
from mfnet.training.trainer import Trainer, views_of


@torch.no_grad()
def validate(trainer: Trainer, triplets: TripletShards) -> dict[str, float]:
    """Means over the triplets: ``total``, each term of eq. 11 whatever its weight, ``landmark_px`` (Euclidean, px).

    The cross-view pairs are those of step 0, so that two validations of a run compare.
    """
    if len(triplets) == 0:
        raise InputError("validation shards: no triplets; raise plan.validation_share")
    model, objective, device = trainer.result, trainer.objective, trainer.process.device
    model.eval()
    rows, size = triplets.order(None), trainer.params.batch_size
    pieces = [rows[first : first + size] for first in range(0, len(rows), size)]
    sums: dict[str, float] = {}
    for batch in triplets.batches(pieces, trainer.params.threads):
        batch = batch.to(device)
        with trainer.autocast():
            prediction = model(views_of(batch.pixels(), trainer.views))
        prediction = prediction.float().per_view(len(batch.triplet))
        terms, heads = objective.measure(prediction, batch, 0, model)
        values = {"total": total_loss(terms, objective.params), **terms, "landmark_px": landmark_pixels(heads, batch)}
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(batch.triplet)
    return {name: value / len(triplets) for name, value in sums.items()}


def landmark_pixels(heads: DecodedHeads, batch: TripletBatch) -> torch.Tensor:
    """Mean distance of the visible projected landmarks from the detected ones, pixels of the crop."""
    views = heads.landmarks.shape[1]
    distance = (heads.landmarks - batch.landmarks[:, :views]).norm(dim=-1)
    return weighted_mean(distance, heads.visible) * (batch.images.shape[-1] / 2)
