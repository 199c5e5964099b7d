"""Supervised losses of MFNet on renders of random heads, whose parameters are known (beyond the paper)."""

from typing import NamedTuple

import torch
from torch import Tensor

from mfnet.flame import Flame
from mfnet.geometry import axis_angle_to_matrix
from mfnet.model.mfnet import Prediction
from mfnet.params import SupervisedParams
from mfnet.synthetic.sampler import Sample

PERSON = ("shape", "expression", "jaw_pose")


class FacePoints(NamedTuple):
    """Unrotated heads, metres."""

    face: Tensor  # [B,P,3] face vertices
    landmarks: Tensor  # [B,51,3] static landmarks
    root: Tensor  # [B,1,3] the joint that global rotation turns about


class FaceLosses:
    """Compares predictions with a sample's truth over the face region of one head model.

    At rest everything here is linear in the coefficients, so one small matrix product decodes them; what the true jaw
    does to the true head is added as a constant, and the jaw has a term of its own.
    """

    def __init__(self, flame: Flame, scales: SupervisedParams):
        """scales: what counts as one unit of error in each output."""
        self.flame, self.scales = flame, scales
        self.face = flame.masks["face"].nonzero()[:: scales.vertex_step, 0]
        count, device = flame.n_shape + flame.n_expression, flame.faces.device
        coefficients = torch.cat([torch.zeros(1, count), torch.eye(count)]).to(device)
        shape, expression = coefficients.split([flame.n_shape, flame.n_expression], 1)
        points = self.decode(shape, expression, torch.zeros(count + 1, 3, device=device))
        self.mean, self.basis = points[:1], (points[1:] - points[:1]).flatten(1)  # [1,P+52,3], [K,3(P+52)]

    @torch.no_grad()
    def decode(self, shape: Tensor, expression: Tensor, jaw_pose: Tensor) -> Tensor:
        """The head model itself: face vertices, static landmarks, root [B,P+52,3]."""
        out = self.flame(shape, expression, torch.zeros_like(jaw_pose), jaw_pose=jaw_pose)
        return torch.cat([out.vertices[:, self.face], out.landmarks[:, 17:], out.joints[:, :1]], 1)

    def linear(self, shape: Tensor, expression: Tensor) -> Tensor:
        """The same at rest, differentiable [B,P+52,3]."""
        return self.mean + (torch.cat([shape, expression], 1) @ self.basis).unflatten(1, self.mean.shape[1:])

    def true_heads(self, truth: Sample) -> tuple[Tensor, Tensor]:
        """The true heads with their jaws, and what the jaws add to the heads at rest; both [B,P+52,3]."""
        posed = self.decode(truth.shape, truth.expression, truth.jaw_pose)
        return posed, posed - self.linear(truth.shape, truth.expression)

    def of_model(self, prediction: Prediction, truth: Sample) -> Tensor:
        """The loss of one MFNet that was shown all views of the sample."""
        posed, opened = self.true_heads(truth)
        views = self.views(prediction, truth, split_points(posed))
        return self.person(prediction, truth, posed, opened) + views

    def __call__(self, predictions: dict[str, Prediction], truth: Sample, weights: dict[str, float]) -> Tensor:
        """The pre-training's loss: persons of every variant, then the views, which all variants share."""
        posed, opened = self.true_heads(truth)
        views = truth.camera.shape[1]
        total = self.views(predictions["concat3"], truth, split_points(posed))
        for name, weight in weights.items():
            target, heads = truth, (posed, opened)
            if name == "concat1":
                target, heads = seen_once(truth), [part.repeat_interleave(views, 0) for part in heads]
            total = total + weight * self.person(predictions[name], target, *heads)
        return total

    def person(self, prediction: Prediction, truth: Sample, posed: Tensor, opened: Tensor) -> Tensor:
        """Shape, expression and jaw: aligned vertices in mm, landmarks in the views in px, coefficients in sigma.

        posed, opened [B,P+52,3]: the true head, and what its jaw adds to it.
        """
        scales = self.scales
        found = split_points(self.linear(prediction.shape, prediction.expression) + opened)
        shown = project(found.landmarks, found.root, prediction.global_pose, prediction.camera)  # [B,V,51,2]
        face, views = split_points(posed).face, shown.shape[1]
        terms = [
            (aligned(found.face, face) - face).abs().mean() / scales.vertices,
            (shown - truth.landmarks[:, :views, 17:]).abs().mean() / scales.pixels,
            (prediction.shape - truth.shape).abs().mean() / scales.sigma,
            (prediction.expression - truth.expression).abs().mean() / scales.sigma,
            (prediction.jaw_pose - truth.jaw_pose).abs().mean() / scales.jaw,
        ]
        return torch.stack(terms).sum()

    def views(self, prediction: Prediction, truth: Sample, heads: FacePoints) -> Tensor:
        """Pose, camera and light: each by itself, and the true face in the predicted view against the true view."""
        scales = self.scales
        shown = project(heads.face, heads.root, prediction.global_pose, prediction.camera)
        target = project(heads.face, heads.root, truth.global_pose, truth.camera)
        terms = [
            (shown - target).abs().mean() / scales.pixels,
            (prediction.global_pose - truth.global_pose).abs().mean() / scales.rotation,
            (prediction.camera[..., 0] / truth.camera[..., 0] - 1).abs().mean() / scales.camera_scale,
            (prediction.camera[..., 1:] - truth.camera[..., 1:]).abs().mean() / scales.camera_shift,
            (prediction.light - truth.light).abs().mean() / scales.light,
        ]
        return torch.stack(terms).sum()


def split_points(points: Tensor) -> FacePoints:
    """Points [B,P+51+1,3] by what they are."""
    return FacePoints(points[:, :-52], points[:, -52:-1], points[:, -1:])


def project(points: Tensor, root: Tensor, pose: Tensor, camera: Tensor) -> Tensor:
    """Unrotated points [B,N,3], turned about root [B,1,3] by pose [B,V,3], in cameras [B,V,3] -> ndc [B,V,N,2].

    FLAME's global rotation acts about its root joint and moves no corrective, so one decoding serves all views.
    """
    turned = torch.einsum("bvij,bnj->bvni", axis_angle_to_matrix(pose)[:, :, :2], points - root) + root[:, None, :, :2]
    return camera[..., None, :1] * (turned + camera[..., None, 1:])


def aligned(points: Tensor, target: Tensor) -> Tensor:
    """Points [B,N,3] moved and scaled (not turned) onto target [B,N,3] by least squares: size is unseen in one crop."""
    centred, goal = points - points.mean(1, keepdim=True), target - target.mean(1, keepdim=True)
    scale = (centred * goal).sum((1, 2), keepdim=True) / centred.square().sum((1, 2), keepdim=True)
    return scale * centred + target.mean(1, keepdim=True)


def seen_once(truth: Sample) -> Sample:
    """N subjects in V views as N x V subjects in one view each, in the order of ``concat1``."""
    views = truth.camera.shape[1]
    return Sample(
        *(
            field.repeat_interleave(views, 0) if name in PERSON else field.flatten(0, 1)[:, None]
            for name, field in truth._asdict().items()
        )
    )
