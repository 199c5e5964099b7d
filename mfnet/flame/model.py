"""FLAME as a differentiable module: coefficients in; vertices, joints and landmarks out."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mfnet.errors import InputError
from mfnet.flame.embedding import N_CONTOUR, contour_rows
from mfnet.flame.head import N_JOINTS, HeadArrays
from mfnet.flame.readers import read_head
from mfnet.geometry.rotations import axis_angle_to_matrix


class FlameOutput(NamedTuple):
    """A decoded batch in head space, metres."""

    vertices: Tensor  # [B, V, 3]
    joints: Tensor  # [B, 5, 3]
    landmarks: Tensor | None  # [B, 68, 3]: 17 contour points that walk with the yaw, then the 51 static ones
    landmarks_full: Tensor | None  # [B, 68, 3]: the frontal head's contour, fixed on the skin


def load_flame(
    model: str | Path,
    landmarks: str | Path | Sequence[str | Path] | None = None,
    template: str | Path | None = None,
    n_shape: int = 100,
    n_expression: int = 50,
    masks: str | Path | None = None,
) -> "Flame":
    """Load a head model, using its first `n_shape` identity and `n_expression` expression coefficients.

    model: official pickle or the project's npz, which carries landmarks, UV and masks too; `landmarks`, `template`
    and `masks` (see `readers.read_head`) override those. Raises InputError naming the file and the field.
    """
    head = read_head(model, landmarks, template, masks)
    for name, wanted, stored in (
        ("n_shape", n_shape, head.n_shape_total),
        ("n_expression", n_expression, head.n_expression_total),
    ):
        if not 0 <= wanted <= stored:
            raise InputError(f"{model}: {name} is {wanted}, but the model has {stored} such coefficients")
    return Flame(head, n_shape, n_expression)


class Flame(nn.Module):
    """Linear blend skinning with identity, expression and pose correctives (Li et al. 2017, eq. 1-5).

    One matrix product with all directions side by side, stored [K, 3 * V] coordinate by coordinate, gives the posed
    rest shape; the joints are linear in the coefficients too, so they never touch the vertices.
    """

    faces: Tensor  # [F, 3] int64
    weights: Tensor  # [V, 5]
    uv: Tensor | None  # [T, 2] in 0..1, v up
    uv_faces: Tensor | None  # [F, 3] int64

    def __init__(self, head: HeadArrays, n_shape: int, n_expression: int):
        super().__init__()
        self.n_shape, self.n_expression = n_shape, n_expression
        self.content_hash = head.content_hash()
        self.parents = head.parents.tolist()
        self._masks = sorted(head.masks)
        first = head.n_shape_total
        columns = [*range(n_shape), *range(first, first + n_expression)]
        blend = head.shapedirs[:, :, columns]
        self._float_buffer("template", head.v_template.T.reshape(-1))  # [3 * V]
        self._float_buffer("blend", blend.transpose(2, 1, 0).reshape(len(columns), -1))  # [K, 3 * V]
        self._float_buffer("correctives", head.posedirs.transpose(2, 1, 0).reshape(9 * (N_JOINTS - 1), -1))
        self._float_buffer("weights", head.weights)
        regressor = head.joint_regressor.astype(np.float64)
        self._float_buffer("joint_template", (regressor @ head.v_template).reshape(-1))  # [5 * 3]
        joint_blend = np.einsum("jv,vck->kjc", regressor, blend.astype(np.float64), optimize=True)
        self._float_buffer("joint_blend", joint_blend.reshape(len(columns), -1))  # [K, 5 * 3]
        self._constant("faces", torch.tensor(head.faces))
        self._constant("uv", None if head.uv is None else torch.tensor(head.uv))
        self._constant("uv_faces", None if head.uv_faces is None else torch.tensor(head.uv_faces))
        for name in self._masks:
            self._constant(f"mask_{name}", torch.tensor(head.masks[name]))
        self._set_landmarks(head)

    @property
    def masks(self) -> dict[str, Tensor]:
        """Regions of the head by name, each bool [V]."""
        return {name: getattr(self, f"mask_{name}") for name in self._masks}

    def forward(
        self,
        shape: Tensor,
        expression: Tensor,
        global_pose: Tensor,
        neck_pose: Tensor | None = None,
        jaw_pose: Tensor | None = None,
        eye_pose: Tensor | None = None,
    ) -> FlameOutput:
        """Decode shape [B, n_shape], expression [B, n_expression], axis-angle poses [B, 3] and eyes [B, 6], left first.

        Poses left out are at rest. Differentiable in all inputs, except that which contour point is chosen is not.
        """
        batch = len(shape)
        rest = global_pose.new_zeros(1, 3).expand(batch, 3)
        eyes = (rest, rest) if eye_pose is None else (eye_pose[:, :3], eye_pose[:, 3:])
        pose = torch.stack([p if p is not None else rest for p in (global_pose, neck_pose, jaw_pose, *eyes)], 1)
        rotations = axis_angle_to_matrix(pose)  # [B, 5, 3, 3]
        coefficients = torch.cat([shape, expression], 1)
        joints = torch.addmm(self.joint_template, coefficients, self.joint_blend).view(batch, N_JOINTS, 3)
        identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        turned = (rotations[:, 1:] - identity).reshape(batch, -1)
        basis = torch.cat([self.blend, self.correctives])
        unposed = torch.addmm(self.template, torch.cat([coefficients, turned], 1), basis).view(batch, 3, -1)
        transforms, joints = self._chain(rotations, joints)
        vertices = self._skin(unposed, transforms)
        if self.static_corners is None:
            return FlameOutput(vertices, joints, None, None)
        rows = contour_rows(rotations[:, 0].detach(), rotations[:, 1].detach())
        return FlameOutput(vertices, joints, *self._landmarks(vertices, rows))

    def _chain(self, rotations: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
        """Transforms [B, 5, 3, 4] from rest to posed space and the posed joints [B, 5, 3]."""
        turns, places = [rotations[:, 0]], [joints[:, 0]]
        for joint, parent in enumerate(self.parents[1:], 1):
            bone = (joints[:, joint] - joints[:, parent])[..., None]
            places.append(places[parent] + (turns[parent] @ bone).squeeze(-1))
            turns.append(turns[parent] @ rotations[:, joint])
        turn, place = torch.stack(turns, 1), torch.stack(places, 1)
        shift = place - (turn @ joints[..., None]).squeeze(-1)
        return torch.cat([turn, shift[..., None]], -1), place

    def _skin(self, unposed: Tensor, transforms: Tensor) -> Tensor:
        """Blend the joints' transforms [B, 5, 3, 4] at every vertex of `unposed` [B, 3, V] -> [B, V, 3]."""
        blended = torch.matmul(transforms.flatten(2).transpose(1, 2), self.weights.T).unflatten(1, (3, 4))
        posed = (blended[:, :, :3] * unposed[:, None]).sum(2) + blended[:, :, 3]
        return posed.transpose(1, 2).contiguous()

    def _landmarks(self, vertices: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Dynamic contour for `rows` [B] and static points, then the 68 fixed ones."""
        batch = torch.arange(len(vertices), device=vertices.device)[:, None, None]
        contour = vertices[batch, self.contour_corners[rows]]  # [B, 17, 3, 3]
        contour = (contour * self.contour_weights[rows][..., None]).sum(2)
        fixed = (vertices[:, self.static_corners] * self.static_weights[..., None]).sum(2)  # [B, 51 + 68, 3]
        static, full = fixed[:, :-68], fixed[:, -68:]
        assert contour.shape[1] == N_CONTOUR
        return torch.cat([contour, static], 1), full

    def _set_landmarks(self, head: HeadArrays) -> None:
        """Buffers of triangle corners and their weights; None where the head has no landmarks."""
        if head.landmarks is None:
            self.static_corners = None
            return
        points = head.landmarks
        self._constant("contour_corners", torch.from_numpy(head.faces[points.dynamic_faces]))  # [79, 17, 3]
        self._float_buffer("contour_weights", points.dynamic_weights)
        fixed = np.concatenate([points.static_faces, points.full_faces])
        self._constant("static_corners", torch.from_numpy(head.faces[fixed]))  # [51 + 68, 3]
        self._float_buffer("static_weights", np.concatenate([points.static_weights, points.full_weights]))

    def _float_buffer(self, name: str, values: np.ndarray) -> None:
        self._constant(name, torch.from_numpy(np.array(values, dtype=np.float32, order="C")))

    def _constant(self, name: str, value: Tensor | None) -> None:
        # The head is no part of a checkpoint: its hash is.
        self.register_buffer(name, value, persistent=False)
