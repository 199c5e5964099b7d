"""From the features of one person's views to one output vector: the paper's concatenation, and a set of any size."""

import torch
from torch import nn


class OutputUnits(nn.Module):
    """Turns a layer's raw numbers into outputs in their own units: ``mean + scale * raw``, per output.

    Rotations, cameras and coefficients differ in size by orders of magnitude; the last layer works in standard
    deviations of each.
    """

    mean: torch.Tensor  # [D]
    scale: torch.Tensor  # [D]

    def __init__(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("scale", scale.clone())

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        """Raw [..., D] -> outputs [..., D], float32 also under autocast."""
        return self.mean + self.scale * raw.float()


def small_last_layer(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that starts near zero: weights of standard deviation 0.01 / sqrt(inputs), no bias."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=0.01 / inputs**0.5)
    nn.init.zeros_(layer.bias)
    return layer


class CentredLinear(nn.Linear):
    """A linear layer of what is left after a constant [F], no parameter, is subtracted from its input [..., F]."""

    centre: torch.Tensor

    def __init__(self, centre: torch.Tensor, outputs: int) -> None:
        super().__init__(len(centre), outputs)
        self.register_buffer("centre", centre.clone())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features [..., F] -> [..., outputs]."""
        return super().forward(features - self.centre)


class Regressor(nn.Module):
    """Linear, ReLU, linear, units: features [..., F] -> outputs [..., D] (the shape of DECA's regressor).

    `centre` [F] are the features of the mean face.
    """

    def __init__(self, centre: torch.Tensor, hidden: int, mean: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.first = CentredLinear(centre, hidden)
        self.last = small_last_layer(hidden, len(mean))
        self.units = OutputUnits(mean, scale)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features [..., F] -> outputs [..., D]."""
        return self.units(self.last(torch.relu(self.first(features))))


class ConcatFusion(Regressor):
    """The paper's: the views' features, concatenated in slot order, into fully connected layers. Needs every view.

    `centre` [V,F] has a row for each slot.
    """

    def __init__(self, centre: torch.Tensor, hidden: int, mean: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__(centre.flatten(), hidden, mean, scale)
        self.views = len(centre)

    def forward(self, features: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Features [B,V,F], present [B,V] bool -> outputs [B,D].

        Raises ValueError if the number of views differs or one is missing: concatenation has no meaning for a gap.
        """
        if features.shape[1] != self.views:
            raise ValueError(f"fusion 'concat' takes {self.views} views, got {features.shape[1]}")
        if not bool(present.all()):
            raise ValueError("fusion 'concat' needs every view; use fusion 'set' where views may be missing")
        return super().forward(features.flatten(1))


class SetFusion(nn.Module):
    """Permutation-invariant over 1..N views: mean and maximum of the present views' hidden features.

    Both pools of N equal views are the view's own hidden features, so equal views give what one view gives. `centre`
    [F] is one for all views.
    """

    def __init__(self, centre: torch.Tensor, hidden: int, mean: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.first = CentredLinear(centre, hidden)
        self.last = small_last_layer(2 * hidden, len(mean))
        self.units = OutputUnits(mean, scale)

    def forward(self, features: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Features [B,V,F], present [B,V] bool -> outputs [B,D]. Raises ValueError where a row has no view at all."""
        if not bool(present.any(dim=1).all()):
            raise ValueError("fusion 'set' needs at least one present view per person")
        hidden = torch.relu(self.first(features)) * present[..., None]  # >= 0, so 0 never wins the maximum wrongly
        mean = hidden.sum(dim=1) / present.sum(dim=1, keepdim=True)
        return self.units(self.last(torch.cat([mean, hidden.amax(dim=1)], dim=-1)))


def make_fusion(
    fusion: str, centre: torch.Tensor, hidden: int, mean: torch.Tensor, scale: torch.Tensor
) -> ConcatFusion | SetFusion:
    """The fusion that ``model.fusion`` names.

    centre [V,F]: features of the mean face in each slot, frontal first; mean, scale [D]: the units of the outputs.
    """
    if fusion == "concat":
        return ConcatFusion(centre, hidden, mean, scale)
    return SetFusion(centre[0], hidden, mean, scale)
