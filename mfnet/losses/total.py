"""Eq. 11: all terms of a batch, their weighted sum, and what each contributes to the gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mfnet.datasets.triplets import TripletBatch
from mfnet.errors import InputError
from mfnet.flame import Flame, load_texture_space
from mfnet.losses.consistency import shape_consistency_loss
from mfnet.losses.eye_lip import eye_loss, lip_loss
from mfnet.losses.flow import Estimate
from mfnet.losses.landmarks import landmark_loss
from mfnet.losses.multiview import MultiviewFlow, cross_pairs
from mfnet.losses.photometric import TEXELS, Photometric, smooth_texture_space
from mfnet.losses.regularisation import regularisation_loss
from mfnet.model.mfnet import MFNet
from mfnet.model.parameters import Prediction
from mfnet.model.projection import DecodedHeads, decode
from mfnet.model.rig import with_known_cameras, with_known_distance
from mfnet.params import LossParams


def total_loss(terms: dict[str, Tensor], weights: LossParams) -> Tensor:
    """L_total (eq. 11): the sum of the terms, each times the weight of its name. Terms of weight 0 pass no gradient."""
    weighted = (getattr(weights, name) * value for name, value in terms.items() if getattr(weights, name))
    return sum(weighted, start=torch.zeros(()))


def gradient_shares(terms: dict[str, Tensor], weights: LossParams, codes: Sequence[Tensor]) -> dict[str, float]:
    """Each weighted term's share of the gradient, in [0, 1], summing to 1 where there is any gradient.

    The gradient is taken with respect to the network's outputs `codes`, not its weights: this leaves the encoder out of
    the backward pass and so costs little. A share is the term's gradient norm over the sum of all terms' norms.
    """
    norms = {}
    for name, value in terms.items():
        weight = getattr(weights, name)
        if not weight or not value.requires_grad:
            norms[name] = 0.0
            continue
        gradients = torch.autograd.grad(weight * value, codes, retain_graph=True, allow_unused=True)
        norms[name] = float(sum(g.square().sum() for g in gradients if g is not None)) ** 0.5
    total = sum(norms.values())
    return {name: norm / total if total else 0.0 for name, norm in norms.items()}


class Objective:
    """The loss of a batch of triplets for a network's prediction; holds the head model, the params and the flow
    estimator."""

    def __init__(self, flame: Flame, params: LossParams, n_albedo: int, estimate: Estimate) -> None:
        """n_albedo: albedo coefficients of the network; estimate: F of eq. 6.

        Raises InputError where ``loss.albedo_space`` names a file that cannot be used.
        """
        self.flame = flame
        self.params = params
        self.multiview_flow = MultiviewFlow(flame, params, estimate)
        self.photometric = None
        if params.photometric:
            path = params.albedo_space
            space = load_texture_space(path, n_albedo, TEXELS) if path else smooth_texture_space(n_albedo)
            self.photometric = Photometric(flame, space.to(flame.faces.device))

    def __call__(
        self, prediction: Prediction, batch: TripletBatch, position: int, model: MFNet | None = None
    ) -> dict[str, Tensor]:
        """The terms whose weight is not 0, by name, each a scalar.

        prediction: for the batch's items and their first V views, with a person for every view
        (`Prediction.per_view`); position: the step, which draws the cross-view pairs; model: the network, which the
        shape consistency runs on single views.
        """
        return self.terms(prediction, batch, position, model, everything=False)[0]

    def measure(
        self, prediction: Prediction, batch: TripletBatch, position: int, model: MFNet | None = None
    ) -> tuple[dict[str, Tensor], DecodedHeads]:
        """All terms of eq. 11 and those beyond it that have a weight, by name; and the decoded heads."""
        return self.terms(prediction, batch, position, model, everything=True)

    def terms(
        self, prediction: Prediction, batch: TripletBatch, position: int, model: MFNet | None, everything: bool
    ) -> tuple[dict[str, Tensor], DecodedHeads]:
        """As `__call__` or, with `everything`, as `measure`."""
        weights, person, albedo = self.params, prediction.person, prediction.views.albedo
        heads, together = self._decoded(prediction, batch)
        views = heads.landmarks.shape[1]
        photos, detected = batch.pixels()[:, :views], batch.landmarks[:, :views]
        terms: dict[str, Tensor] = {}
        if (weights.flow or everything) and weights.flow_gradient != "none" and views > 1:
            pairs = cross_pairs(len(photos), views, position)
            terms["flow"] = self.multiview_flow(together, photos, detected, pairs)
        for name, loss in (("landmarks", landmark_loss), ("eye", eye_loss), ("lip", lip_loss)):
            if getattr(weights, name) or everything:
                terms[name] = loss(detected, heads.landmarks, heads.visible)
                if together is not heads:
                    terms[name] = (terms[name] + loss(detected, together.landmarks, together.visible)) / 2
        if weights.regularisation or everything:
            terms["regularisation"] = regularisation_loss(person.shape, person.expression, albedo)
        if self.photometric is not None:
            terms["photometric"] = self.photometric(heads, prediction.views, photos)
        if weights.shape_consistency:
            assert model is not None, "loss.shape_consistency runs the network on single views"
            terms["shape_consistency"] = shape_consistency_loss(single_view_shapes(model, batch), batch.subject)
        return terms, heads

    def _decoded(self, prediction: Prediction, batch: TripletBatch) -> tuple[DecodedHeads, DecodedHeads]:
        """The heads as each view's own pose and camera have them, and as one place before known cameras has them.

        Both are the same where cameras are estimated. Otherwise own poses and cameras are held to the landmarks too:
        the network is to give them where no camera is known.
        """
        if self.params.cameras == "estimated":
            heads = decode(self.flame, prediction.with_inverse_distance(self.params.inverse_distance))
            return heads, heads
        if batch.cameras is None:
            raise InputError(
                "loss.cameras: known, but the triplets have no cameras: set source.layout to that of a calibrated "
                "archive, or loss.cameras to estimated"
            )
        cameras = batch.cameras.of_views(prediction.views.camera.shape[1])
        own = decode(self.flame, with_known_distance(prediction, cameras))
        return own, decode(self.flame, with_known_cameras(self.flame, prediction, cameras))


def single_view_shapes(model: MFNet, batch: TripletBatch) -> Tensor:
    """The shape that a network predicts from each photograph alone: [B, V, n_shape].

    A single-view network sees it in its one slot, a `set` network as the only present view, a `concat` network in
    every slot.
    """
    views = model.params.views
    images = batch.pixels()[:, : views if views > 1 else None]
    flat = images.flatten(0, 1)[:, None]
    if model.params.fusion == "concat":
        flat = flat.expand(-1, views, -1, -1, -1)
    return model(flat).person.shape.unflatten(0, images.shape[:2])
