"""What MFNet starts from: one trunk with a fused regressor for every architecture that may start from it.

The same encoder file serves the three-view model, the single-view baseline and the fusion variants: they share the
trunk and the per-view regressor and have had the same steps on the same images.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from mfnet.errors import InputError
from mfnet.flame import Flame
from mfnet.io.tensors import fill, halved, read_tensors, refuse_other_head, write_tensors
from mfnet.model.architecture import architecture_metadata, stored_architecture
from mfnet.model.mfnet import MFNet, ViewNetwork, assemble, make_person_regressor
from mfnet.model.parameters import Prediction
from mfnet.params import ModelParams

TRUNK_KEYS = ("backbone", "width", "pooling", "n_albedo")
"""Model params that a start fixes; fusion and views are free."""


def variants(params: ModelParams) -> dict[str, ModelParams]:
    """The architectures that one start serves, by the name of their fused regressor."""
    concat = {f"concat{views}": params.model_copy(update={"fusion": "concat", "views": views}) for views in (1, 2, 3)}
    return {**concat, "set": params.model_copy(update={"fusion": "set", "views": 3})}


def variant_name(params: ModelParams) -> str:
    """Which fused regressor a model of these params starts from."""
    return "set" if params.fusion == "set" else f"concat{params.views}"


class PretrainedNetwork(ViewNetwork):
    """Encoder, per-view regressor and all fused regressors, trained together (or copied from DECA)."""

    def __init__(self, params: ModelParams, flame: Flame, crop_scale: float | None) -> None:
        """As `ViewNetwork`."""
        super().__init__(params, flame, crop_scale)
        self.person_regressors = nn.ModuleDict(
            {
                name: make_person_regressor(each, flame, self.encoder, crop_scale)
                for name, each in variants(params).items()
            }
        )

    def forward(self, images: torch.Tensor) -> dict[str, Prediction]:
        """Images [B,3,3,H,W] in slot order -> one Prediction per variant.

        ``concat1`` treats the B x 3 images as people seen once: its Prediction has a batch of 3 B, one view each.
        """
        return self.predict(self.encode(images))

    def predict(self, features: torch.Tensor) -> dict[str, Prediction]:
        """Features [B,3,F] -> one Prediction per variant, as `forward`."""
        present = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
        view = self.view_regressor(features)
        predictions = {}
        for name, regressor in self.person_regressors.items():
            if name == "concat1":
                person = regressor(features.flatten(0, 1)[:, None], present.flatten()[:, None])
                predictions[name] = assemble(person, view.flatten(0, 1)[:, None], self.counts)
                continue
            views = regressor.views if name != "set" else features.shape[1]
            person = regressor(features[:, :views], present[:, :views])
            predictions[name] = assemble(person, view[:, :views], self.counts)
        return predictions

    def model(self, params: ModelParams, flame: Flame) -> MFNet:
        """A new MFNet of `params` that starts here."""
        model = MFNet(params, flame, None)
        model.encoder.load_state_dict(self.encoder.state_dict())
        model.view_regressor.load_state_dict(self.view_regressor.state_dict())
        model.person_regressor.load_state_dict(self.person_regressors[variant_name(params)].state_dict())
        return model


def save_pretrained(start: PretrainedNetwork, path: str | Path, half: bool, **origin: Any) -> None:
    """Write a start; `half` stores its matrices in half precision; `origin` (seed, steps) joins the metadata."""
    metadata = {"kind": "encoder", "model": architecture_metadata(start.params), **start.head, **origin}
    write_tensors(halved(start.state_dict()) if half else start.state_dict(), path, metadata)


def load_pretrained(path: str | Path, flame: Flame, remedy: str = "run stage pretrained@encoder") -> PretrainedNetwork:
    """Read a start for `flame`; an InputError that ends in `remedy` if it belongs to another head."""
    state, metadata = read_tensors(path, "encoder")
    refuse_other_head(path, metadata, flame, remedy)
    start = PretrainedNetwork(stored_architecture(metadata, path), flame, None)
    fill(start, state, path)
    return start


def mfnet_from_pretrained(params: ModelParams, flame: Flame, path: str | Path) -> MFNet:
    """The MFNet of `params` that starts from an encoder file. Raises InputError if the trunk is of another kind."""
    start = load_pretrained(path, flame)
    require_same_trunk(start, params, path)
    return start.model(params, flame)


def require_same_trunk(start: PretrainedNetwork, params: ModelParams, path: str | Path) -> None:
    """Raise InputError if `params` ask for another trunk or albedo code than the start has."""
    for key in TRUNK_KEYS:
        have, want = getattr(start.params, key), getattr(params, key)
        if have != want:
            raise InputError(
                f"{path}: model.{key} is {have}, params ask for {want}; set pretrained.encoder.source: train"
            )
