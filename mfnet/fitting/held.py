"""Cameras that are known: their poses and intrinsics are held, and the head alone moves, in their frame."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet.fitting.candidates import Candidates
from mfnet.fitting.unknowns import Unknowns
from mfnet.flame import Flame, FlameOutput
from mfnet.geometry import axis_angle_to_matrix, matrix_to_axis_angle, reference_depth
from mfnet.model.parameters import Prediction, View

NEAREST = 0.05
"""Least distance of a camera to the landmarks, metres: a head within it is no head."""


class Rig(NamedTuple):
    """V cameras that look at the middle of their crops, in the axes of the views (x right, y up, z to the camera).

    A world point X lies at ``rotation X + shift`` in a camera's axes, and in the crop at ``focal (x, y) / -z`` (ndc).
    """

    rotation: Tensor
    """[V, 3, 3]"""
    shift: Tensor
    """[V, 3] in the world's unit."""
    focal: Tensor
    """[V] ndc of the crop."""
    per_metre: float | None
    """Units of the world in a metre; None: not known, and found by the fit."""


class Placement(NamedTuple):
    """Where a head stands in the cameras' world: ``scale rotation (vertex - root) + shift``."""

    scale: float
    """Units of the world in a metre."""
    rotation: np.ndarray
    """[3, 3]"""
    shift: np.ndarray
    """[3] of the head's root joint, in the world's unit."""

    def placed(self, vertices: np.ndarray, root: np.ndarray) -> np.ndarray:
        """Vertices [N, 3] in metres of head space -> [N, 3] in the world."""
        return self.scale * (vertices - root) @ self.rotation.T + self.shift


@dataclass(frozen=True)
class HeldUnknowns(Unknowns):
    """As `Unknowns`, but of the views only where the head stands in the cameras' world: its rotation, the place of its
    root (metres) and, where the world's unit is not known, the logarithm of the scale over that of the start."""

    flame: Flame
    rig: Rig

    @cached_property
    def begin(self) -> Placement:
        """Where the posed heads of the views say that the head stands."""
        return place(self.flame, self.network, self.rig)

    @cached_property
    def sizes(self) -> list[int]:
        """Person as in `Unknowns`; rotation, place, scale."""
        return [*self.person_sizes, 3, 3, int(self.rig.per_metre is None)]

    def start(self, inverse_distance: float) -> Tensor:
        """As `Unknowns.start`; the cameras' distances are known."""
        begin, like = self.begin, self.network.person.shape
        rotation = matrix_to_axis_angle(torch.from_numpy(begin.rotation)[None])[0].to(like)
        where = torch.from_numpy(begin.shift / begin.scale).to(like)
        return torch.cat([*self.person_start(), rotation, where, like.new_zeros(self.sizes[-1])])

    def prediction(self, unknowns: Tensor) -> Prediction:
        """As `Unknowns.prediction`: the views follow from the head's place, exactly."""
        *_, turn, where, log_scale = unknowns.split(self.sizes, -1)
        person = self.person(unknowns[:, : self.person_size])
        count, (rotation, shift, focal, _) = len(unknowns), self.rig
        scale = (
            self.begin.scale * log_scale.exp() if self.sizes[-1] else torch.full_like(where[:, :1], self.begin.scale)
        )
        pose = matrix_to_axis_angle(rotation @ axis_angle_to_matrix(turn)[:, None])  # [K, V, 3]
        world = self.begin.scale * where
        root_seen = ((rotation @ world[:, None, :, None])[..., 0] + shift) / scale[:, None]  # [K, V, 3] metres
        orthographic = View(
            pose,
            pose.new_ones(*pose.shape),
            pose.new_zeros(pose.shape[:2]),
            self.network.views.albedo.expand(count, -1, -1),
            self.network.views.light.expand(count, -1, -1, -1),
        )
        out = _posed(self.flame, Prediction(person, orthographic))
        centre = reference_depth(out.landmarks).view(count, -1)
        root = out.joints[:, 0].view(count, -1, 3)
        distance = (root[..., 2] - centre - root_seen[..., 2]).clamp_min(NEAREST)
        camera = torch.cat([(focal / distance)[..., None], (root_seen - root)[..., :2]], -1)
        return Prediction(person, View(pose, camera, 1 / distance, orthographic.albedo, orthographic.light))


def place(flame: Flame, prediction: Prediction, rig: Rig) -> Placement:
    """Where the posed heads of a prediction of batch 1 stand together in the cameras' world, in the least squares.

    Every landmark that a view shows lies on a ray of its camera, which is linear in scale and place. One camera alone
    says nothing of the scale, which then is the given one, or 1.
    """
    heads = Candidates.of(flame, prediction)
    rotation, shift, focal = (value.double().cpu().numpy() for value in rig[:3])
    own = axis_angle_to_matrix(prediction.views.global_pose[0]).double().cpu().numpy()
    left, _, right = np.linalg.svd((rotation.swapaxes(1, 2) @ own).sum(0))
    turn = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    arms = (heads.landmarks[0] - heads.root[0][:, None]).double().cpu().numpy()  # [V, 68, 3] metres
    ndc = heads.projected_landmarks()[0].double().cpu().numpy()
    rays = np.zeros((*ndc.shape, 3))  # [V, 68, 2, 3]: rows that a point on the ray makes zero
    rays[..., 0, 0] = rays[..., 1, 1] = focal[:, None]
    rays[..., 2] = ndc
    coefficients = np.concatenate([(rays @ arms[..., None]), rays @ rotation[:, None]], -1).reshape(-1, 4)
    wanted = -(rays @ shift[:, None, :, None]).reshape(-1)
    if rig.per_metre is None and len(ndc) > 1:
        found = np.linalg.lstsq(coefficients, wanted, rcond=None)[0]
        return Placement(max(float(found[0]), 1e-9), turn, found[1:])
    scale = rig.per_metre or 1.0
    where = np.linalg.lstsq(coefficients[:, 1:], wanted - scale * coefficients[:, 0], rcond=None)[0]
    return Placement(scale, turn, where)


def _posed(flame: Flame, prediction: Prediction) -> FlameOutput:
    """The heads of a prediction of batch K in its V views, as a batch of K x V."""
    flat = prediction.per_view()
    person = flat.person.map(lambda code: code.flatten(0, 1))
    return flame(person.shape, person.expression, flat.views.global_pose.flatten(0, 1), jaw_pose=person.jaw_pose)
