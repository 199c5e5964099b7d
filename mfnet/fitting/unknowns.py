"""The vector of unknowns that refinement solves for, and the prediction that it stands for."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mfnet.model.parameters import Person, Prediction, View


@dataclass(frozen=True)
class Unknowns:
    """Layout of one person's n unknowns, and their units.

    In this order: shape, expression and jaw pose; then of all V views the global poses, the cameras and the inverse
    distances. A camera's scale is in units of the network's own, its shift in units of 0.1 m.
    """

    network: Prediction
    """Of batch 1: where the fit starts; its albedo codes and lights are not fitted."""
    own_expressions: bool
    """Each view has an expression and a jaw pose of its own; else all share one."""

    @cached_property
    def camera_unit(self) -> Tensor:
        """[V, 3]"""
        scale = self.network.views.camera[0, :, :1]
        return torch.cat([scale, torch.full_like(scale, 0.1).expand(-1, 2)], 1)

    @cached_property
    def person_sizes(self) -> list[int]:
        """How many unknowns shape, expression and jaw pose have."""
        person, faces = self.network.person, len(self.camera_unit) if self.own_expressions else 1
        return [person.shape.shape[1], faces * person.expression.shape[1], faces * 3]

    @cached_property
    def sizes(self) -> list[int]:
        """How many unknowns each of the six parts has."""
        count = len(self.camera_unit)
        return [*self.person_sizes, 3 * count, 3 * count, count]

    @cached_property
    def person_size(self) -> int:
        """How many unknowns are the person's: they come first."""
        return sum(self.person_sizes)

    @cached_property
    def codes_size(self) -> int:
        """How many unknowns are coefficients of shape and expression: they come first of all."""
        return sum(self.person_sizes[:2])

    def person_start(self) -> list[Tensor]:
        """Shape, expression and jaw pose of the network's prediction as parts of a vector."""
        person = self.network.person
        faces = self.person_sizes[2] // 3
        return [person.shape[0], person.expression[0].repeat(faces), person.jaw_pose[0].repeat(faces)]

    def start(self, inverse_distance: float) -> Tensor:
        """The network's prediction, its cameras at 1 / `inverse_distance` metres, as a vector [n]."""
        views = self.network.views
        return torch.cat(
            [
                *self.person_start(),
                views.global_pose[0].flatten(),
                (views.camera[0] / self.camera_unit).flatten(),
                torch.full_like(self.camera_unit[:, 0], inverse_distance),
            ]
        )

    def constants(self, code: float, rotation: float, camera: float, inverse_distance: float) -> Tensor:
        """A vector [n] with one number for each kind of unknown; the jaw is a rotation."""
        values = (code, code, rotation, rotation, camera, inverse_distance)
        parts = [torch.full((size,), value) for size, value in zip(self.sizes, values, strict=True)]
        return torch.cat(parts).to(self.camera_unit)

    def person(self, codes: Tensor) -> Person:
        """The people of the first `person_size` unknowns of K vectors, [K, person_size].

        Codes are [K, n], or [K, V, n] with `own_expressions`.
        """
        shape, expression, jaw = codes.split(self.person_sizes, -1)
        if not self.own_expressions:
            return Person(shape, expression, jaw)
        count = len(self.camera_unit)
        by_view = (value.unflatten(-1, (count, -1)) for value in (expression, jaw))
        return Person(shape[:, None].expand(-1, count, -1), *by_view)

    def prediction(self, unknowns: Tensor) -> Prediction:
        """What K vectors [K, n] stand for: a prediction of batch K."""
        *_, pose, camera, inverse_distance = unknowns.split(self.sizes, -1)
        views = View(
            global_pose=pose.unflatten(1, (-1, 3)),
            camera=camera.unflatten(1, (-1, 3)) * self.camera_unit,
            inverse_distance=inverse_distance,
            albedo=self.network.views.albedo.expand(len(unknowns), -1, -1),
            light=self.network.views.light.expand(len(unknowns), -1, -1, -1),
        )
        return Prediction(self.person(unknowns[:, : self.person_size]), views)
