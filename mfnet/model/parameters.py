"""What MFNet predicts, and what a rendered head was made of: the person, and each view of it.

Shape and expression are coefficients in sigma units, rotations are axis-angle in radians.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self, get_type_hints

import torch
from torch import Tensor


@dataclass(frozen=True)
class TensorRecord:
    """Base of frozen dataclasses whose fields are tensors with a common batch axis, or again such dataclasses."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """A new record with `function` applied to every tensor."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(
            self,
            **{
                name: value.map(function) if isinstance(value, TensorRecord) else function(value)
                for name, value in values.items()
            },
        )

    def __getitem__(self, rows: int | slice | list[int] | Tensor) -> Self:
        """The record of some rows of the batch, which an index, a slice, a list or an index tensor names."""
        return self.map(lambda value: value[rows])

    def to(self, device: torch.device | str) -> Self:
        """The record on a device."""
        return self.map(lambda value: value.to(device))

    def float(self) -> Self:
        """The record in float32."""
        return self.map(Tensor.float)

    @classmethod
    def cat(cls, records: Sequence[Self]) -> Self:
        """Records of batches B1, B2, ... as one of B1 + B2 + ..."""
        columns = {field.name: [getattr(record, field.name) for record in records] for field in fields(cls)}
        return cls(
            **{
                name: type(column[0]).cat(column) if isinstance(column[0], TensorRecord) else torch.cat(column)
                for name, column in columns.items()
            }
        )

    def named_tensors(self) -> dict[str, Tensor]:
        """Every tensor by the name of its field, in the order of the fields, inner records' in their place."""
        named: dict[str, Tensor] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            named |= value.named_tensors() if isinstance(value, TensorRecord) else {field.name: value}
        return named

    @classmethod
    def from_named(cls, named: Mapping[str, Tensor]) -> Self:
        """The inverse of `named_tensors`."""
        hints = get_type_hints(cls)
        return cls(
            **{
                field.name: hints[field.name].from_named(named)
                if issubclass(hints[field.name], TensorRecord)
                else named[field.name]
                for field in fields(cls)
            }
        )

    def tensors(self) -> list[Tensor]:
        """Every tensor, in the order of `named_tensors`."""
        return list(self.named_tensors().values())


@dataclass(frozen=True)
class Person(TensorRecord):
    """What all views of a person share: [B, n]; after `Prediction.per_view` each view's own, [B, V, n]."""

    shape: Tensor
    """[B, n_shape]"""
    expression: Tensor
    """[B, n_expression]"""
    jaw_pose: Tensor
    """[B, 3]"""


@dataclass(frozen=True)
class View(TensorRecord):
    """What belongs to one view of a person: pose, camera, albedo code and light of V views."""

    global_pose: Tensor
    """[B, V, 3] rotation of the head about its root joint."""
    camera: Tensor
    """[B, V, 3] scaled orthography (s, tx, ty) in ndc of the crop: s in 1/m, tx and ty in metres."""
    inverse_distance: Tensor
    """[B, V] 1 / distance of the camera from the landmarks' mean depth, where its scale holds, 1/m; 0: orthography.
    MFNet's is 0: it is assumed (`Prediction.with_inverse_distance`) or fitted (`mfnet.fitting.refine`)."""
    albedo: Tensor
    """[B, V, n_albedo] sigma units; n_albedo is 0 where the skin is no code."""
    light: Tensor
    """[B, V, 9, 3] spherical harmonics, RGB, in the axes of the view."""


@dataclass(frozen=True)
class Prediction(TensorRecord):
    """B people, each seen in V views."""

    person: Person
    views: View

    def with_inverse_distance(self, inverse_distance: Tensor | float) -> "Prediction":
        """The same before cameras at 1 / `inverse_distance` metres: one number for all, or [B, V]."""
        if not isinstance(inverse_distance, Tensor):
            inverse_distance = torch.full_like(self.views.inverse_distance, inverse_distance)
        return replace(self, views=replace(self.views, inverse_distance=inverse_distance))

    def of_view(self, view: int | Tensor) -> "Prediction":
        """Each person in one of its views, V = 1: the same for all, or [B] indices."""
        if isinstance(view, int):
            return replace(self, views=self.views.map(lambda value: value[:, view : view + 1]))
        rows = torch.arange(len(view))
        return replace(self, views=self.views.map(lambda value: value[rows, view][:, None]))

    @property
    def first_person(self) -> Person:
        """The people [B, n] as the first view shows them."""
        person = self.person
        return person if person.shape.dim() == 2 else person.map(lambda code: code[:, 0])

    def per_view(self, items: int | None = None) -> "Prediction":
        """With a person for every view, [items, V, n], as the losses take it: a code that views share is repeated.

        items: how many people were photographed. A network that saw their V photographs one by one predicts items x V
        people in one view each, in which every view keeps a person of its own. None: as many as were predicted.
        """
        person = self.person
        if person.shape.dim() == 2:
            views = self.views.camera.shape[1]
            person = person.map(lambda code: code[:, None].expand(-1, views, -1))
        result = Prediction(person, self.views)
        if items is None:
            return result
        return result.map(lambda value: value.reshape(items, -1, *value.shape[2:]))
