"""Known cameras: what a calibrated rig knows of a head's views, and one place of the head for all of them.

A crop of a calibrated photograph is the picture of a pinhole camera whose axis goes through its middle
(`mfnet.geometry.turned`), of known focal length and pose. Its scaled orthography at a finite distance is that pinhole
camera exactly: s = focal / distance, and (tx, ty) is where the head stands beside the axis. So each view's own pose and
camera say where the head is in the world, and one place says the pose and camera of every view.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mfnet.flame import Flame
from mfnet.geometry import axis_angle_to_matrix, matrix_to_axis_angle, reference_depth
from mfnet.model.parameters import Prediction, TensorRecord, View

ALONG = 0.01
"""Weight of what a view says about its distance from the head, over that of where it sees the head: a camera's scale is
known to a few per cent of a metre, its shift to millimetres."""
LEAST_SCALE = 0.1
"""1/m: a camera of less is taken for one of this, 10 focal lengths away."""


@dataclass(frozen=True)
class KnownCameras(TensorRecord):
    """The cameras of B people's crops in V views."""

    focal: Tensor
    """[B, V] focal length, ndc of the crop."""
    rotation: Tensor
    """[B, V, 3, 3] from the world to the view's axes (x right, y up, z towards the camera)."""
    translation: Tensor
    """[B, V, 3] metres: x_view = rotation x + translation."""

    def of_views(self, count: int) -> "KnownCameras":
        """Those of the first views."""
        return self.map(lambda value: value[:, :count])


@dataclass(frozen=True)
class HeadPose(TensorRecord):
    """Where B heads are in the world."""

    rotation: Tensor
    """[B, 3, 3] from head space to the world's axes."""
    root: Tensor
    """[B, 3] metres: the root joint, about which a head turns."""


def with_known_distance(prediction: Prediction, cameras: KnownCameras) -> Prediction:
    """The prediction, each view before a camera at the distance that its own scale means at the known focal length."""
    return prediction.with_inverse_distance(prediction.views.camera[..., 0].clamp_min(LEAST_SCALE) / cameras.focal)


def with_known_cameras(flame: Flame, prediction: Prediction, cameras: KnownCameras) -> Prediction:
    """The prediction with one place of each head: every view's pose, camera and distance are those of known cameras.

    prediction: of batch B with V views, as `Prediction.per_view` has it or with one person for all views.
    """
    return seen_by(flame, prediction, place(flame, prediction, cameras), cameras)


def place(flame: Flame, prediction: Prediction, cameras: KnownCameras) -> HeadPose:
    """Where the views of a prediction together see the heads, by least squares with weights `ALONG` for depth."""
    views = prediction.views
    root, depth = _root_and_depth(flame, prediction, views.global_pose)
    distance = cameras.focal / views.camera[..., 0].clamp_min(LEAST_SCALE)
    shift = torch.cat([views.camera[..., 1:], -(distance + depth)[..., None]], -1)
    to_world = cameras.rotation.mT
    own = (to_world @ (root + shift - cameras.translation)[..., None])[..., 0]  # [B, V, 3]
    trust = to_world @ (cameras.rotation.new_tensor([1, 1, ALONG])[:, None] * cameras.rotation)
    together = torch.linalg.solve(trust.sum(1), (trust @ own[..., None]).sum(1)[..., 0])
    turns = to_world @ axis_angle_to_matrix(views.global_pose)
    return HeadPose(_mean_rotation(turns), together)


def seen_by(flame: Flame, prediction: Prediction, placement: HeadPose, cameras: KnownCameras) -> Prediction:
    """The prediction's people at a place: pose, camera and inverse distance of every view follow from it."""
    pose = matrix_to_axis_angle(cameras.rotation @ placement.rotation[:, None])
    root, depth = _root_and_depth(flame, prediction, pose)
    offset = (cameras.rotation @ placement.root[:, None, :, None])[..., 0] + cameras.translation - root
    distance = -(depth + offset[..., 2])
    camera = torch.cat([(cameras.focal / distance)[..., None], offset[..., :2]], -1)
    views: View = replace(prediction.views, global_pose=pose, camera=camera, inverse_distance=1 / distance)
    return replace(prediction, views=views)


def _root_and_depth(flame: Flame, prediction: Prediction, pose: Tensor) -> tuple[Tensor, Tensor]:
    """Root joint [B, V, 3] and `reference_depth` [B, V] of heads posed by `pose` [B, V, 3], metres."""
    person = replace(prediction, views=replace(prediction.views, global_pose=pose)).per_view().person
    shape, expression, jaw = (code.flatten(0, 1) for code in person.tensors())
    output = flame(shape, expression, pose.flatten(0, 1), jaw_pose=jaw)
    size = pose.shape[:2]
    return output.joints[:, 0].unflatten(0, size), reference_depth(output.landmarks).unflatten(0, size)


def _mean_rotation(rotations: Tensor) -> Tensor:
    """A rotation [B, 3, 3] between those of V views [B, V, 3, 3]: their mean's columns, made orthonormal.

    For rotations that differ by some degrees it is the mean; its gradient is finite for equal ones, where that of a
    singular value decomposition is not.
    """
    mean = rotations.mean(1)
    z = normalize(mean[..., 2], dim=-1)
    y = normalize(mean[..., 1] - (mean[..., 1] * z).sum(-1, keepdim=True) * z, dim=-1)
    return torch.stack([torch.linalg.cross(y, z), y, z], -1)
