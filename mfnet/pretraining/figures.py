"""Held-out figures of the encoder: errors of faces in mm, by yaw, and of each view's pose and camera."""

import torch
from torch import Tensor

from mfnet.flame import Flame
from mfnet.geometry import axis_angle_to_matrix
from mfnet.losses.supervised import aligned
from mfnet.model.parameters import Person, Prediction, View
from mfnet.pretraining.pools import CHUNK
from mfnet.synthetic.sampler import Sample

YAW_BINS = ((0, 5), (5, 30), (30, 60), (60, 90))
"""The benchmark's bins of |yaw|, degrees."""


def decode_face(flame: Flame, person: Person) -> Tensor:
    """Face vertices [B,P,3] of unrotated heads, metres, in parts that fit the cache."""
    parts = zip(*(code.split(CHUNK) for code in person.tensors()), strict=True)
    outs = [flame(s, e, torch.zeros_like(jaw), jaw_pose=jaw).vertices[:, flame.masks["face"]] for s, e, jaw in parts]
    return torch.cat(outs)


def face_error(found: Tensor, truth: Tensor) -> Tensor:
    """Mean vertex distance [M] in mm after scale and translation; found [M,P,3]: M/N guesses for each of N heads."""
    target = truth.repeat_interleave(len(found) // len(truth), 0)
    return 1000 * (aligned(found, target) - target).norm(dim=-1).mean(1)


def by_yaw(values: Tensor, yaw: Tensor, label: str = "one_view_mm") -> dict[str, float]:
    """Means of values [M] over the benchmark's bins of |yaw| [M] in degrees."""
    figures = {}
    for low, high in YAW_BINS:
        inside = (yaw.abs() >= low) & (yaw.abs() < high)
        if inside.any():
            figures[f"{label}_yaw_{low}_{high}"] = float(values[inside].mean())
    return figures


def view_figures(parts: list[dict[str, Prediction]], pool: Sample) -> dict[str, float]:
    """How well each view's pose and camera are known: mean angle in degrees, scale in percent, shift in mm."""
    found, true = View.cat([part["concat3"].views for part in parts]), pool.views
    turn = axis_angle_to_matrix(found.global_pose).mT @ axis_angle_to_matrix(true.global_pose)
    angle = ((turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).acos()
    return {
        "rotation_deg": float(torch.rad2deg(angle).mean()),
        "camera_scale_percent": float(100 * (found.camera[..., 0] / true.camera[..., 0] - 1).abs().mean()),
        "camera_shift_mm": float(1000 * (found.camera[..., 1:] - true.camera[..., 1:]).norm(dim=-1).mean()),
    }
