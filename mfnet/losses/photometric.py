"""Beyond the paper: the SH-shaded render (eq. 2 and 4) against the photograph."""

from torch import Tensor

from mfnet.losses.landmarks import weighted_mean


def photometric_loss(photo: Tensor, render: Tensor, mask: Tensor) -> Tensor:
    """Masked mean over pixels of |I - I_r|_1 / 3: photo, render [B, 3, H, W] in [0, 1], mask [B, H, W] in [0, 1] ->
    scalar."""
    return weighted_mean((photo - render).abs().mean(1), mask)
