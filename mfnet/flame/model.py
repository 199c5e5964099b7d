"""FLAME as a differentiable module: coefficients in; vertices, joints and landmarks out."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mfnet.errors import InputError
from mfnet.flame.embedding import contour_rows
from mfnet.flame.head import N_JOINTS, HeadArrays
from mfnet.flame.pose_chain import pose_chain
from mfnet.flame.readers import read_head
from mfnet.flame.skinning import BLOCK, blend_shapes, skin, skin_with_points
from mfnet.landmarks.ibug import N_LANDMARKS
from mfnet.params import FlameParams


@dataclass(frozen=True)
class FlameOutput:
    """A decoded batch in head space, metres."""

    vertices: Tensor  # [B, V, 3]
    joints: Tensor  # [B, 5, 3]
    points: Tensor | None = None  # [B, 2 * 68, 3]: `landmarks`, then `landmarks_full`

    @property
    def landmarks(self) -> Tensor:
        """[B, 68, 3]: 17 contour points that walk with the yaw, then the 51 static ones.

        Raises InputError for a head without landmarks, as `landmarks_full` does.
        """
        return self._points()[:, :N_LANDMARKS]

    @property
    def landmarks_full(self) -> Tensor:
        """[B, 68, 3]: the frontal head's contour, fixed on the skin, and the 51 static ones."""
        return self._points()[:, N_LANDMARKS:]

    def _points(self) -> Tensor:
        if self.points is None:
            raise InputError("landmarks: the head model has none; load it with its landmark embedding")
        return self.points


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
    return flame_of(read_head(model, landmarks, template, masks), n_shape, n_expression, model)


def flame_of(head: HeadArrays, n_shape: int, n_expression: int, where: str | Path) -> "Flame":
    """The module of a head with that many coefficients in use. Raises InputError naming `where` it is from."""
    for name, wanted, stored in (
        ("n_shape", n_shape, head.n_shape_total),
        ("n_expression", n_expression, head.n_expression_total),
    ):
        if not 0 <= wanted <= stored:
            raise InputError(f"{where}: {name} is {wanted}, but the model has {stored} such coefficients")
    return Flame(head, n_shape, n_expression)


def load_project_head(folder: str | Path, params: FlameParams) -> "Flame":
    """The head model that stage ``head`` put into `folder`, with as many coefficients as the params ask for."""
    return load_flame(Path(folder) / "head.npz", n_shape=params.n_shape, n_expression=params.n_expression)


class Flame(nn.Module):
    """Linear blend skinning with identity, expression and pose correctives (Li et al. 2017, eq. 1-5).

    One matrix product with all directions side by side gives the posed rest shape, block of vertices by block (see
    `skinning`); directions that are zero everywhere are left out. The joints are linear in the coefficients too, so
    they never touch the vertices (see `pose_chain`).
    """

    faces: Tensor  # [F, 3] int64
    uv: Tensor | None  # [T, 2] in 0..1, v up
    uv_faces: Tensor | None  # [F, 3] int64
    # Constants of `_float_arrays`; those of the landmarks are there where `has_landmarks`.
    template: Tensor
    basis: Tensor
    columns: Tensor
    weights: Tensor
    weight_blocks: Tensor
    joint_template: Tensor
    joint_blend: Tensor
    contour_corners: Tensor
    contour_weights: Tensor
    fixed_corners: Tensor
    fixed_weights: Tensor
    # Of the mesh's 478 points; there where `dense` is.
    dense_corners: Tensor  # [478, 3] int64
    dense_weights: Tensor  # [478, 3]

    def __init__(self, head: HeadArrays, n_shape: int, n_expression: int) -> None:
        super().__init__()
        self.n_shape, self.n_expression = n_shape, n_expression
        self.content_hash = head.content_hash()
        self.population, self.provenance, self.dense = head.population, head.provenance, head.dense
        self.parents = head.parents.tolist()
        self._masks = sorted(head.masks)
        arrays = self._float_arrays(head)
        self._exact = {name: array for name, array in arrays.items() if array.dtype == np.float64}
        for name, array in arrays.items():
            self._constant(name, torch.tensor(array, dtype=torch.float32))
        for name, array in (("faces", head.faces), ("uv", head.uv), ("uv_faces", head.uv_faces)):
            self._constant(name, None if array is None else torch.tensor(array))
        for name in self._masks:
            self._constant(f"mask_{name}", torch.tensor(head.masks[name]))
        self.has_landmarks = head.landmarks is not None
        if head.landmarks is not None:
            fixed = np.concatenate([head.landmarks.static_faces, head.landmarks.full_faces])
            self._constant("contour_corners", torch.tensor(head.faces[head.landmarks.dynamic_faces]))  # [79, 17, 3]
            self._constant("fixed_corners", torch.tensor(head.faces[fixed]))  # [51 + 68, 3]
        if head.dense is not None:
            self._constant("dense_corners", torch.tensor(head.faces[head.dense.faces]))
            self._constant("dense_weights", torch.tensor(head.dense.weights, dtype=torch.float32))

    @property
    def uv_map(self) -> tuple[Tensor, Tensor]:
        """`uv` and `uv_faces` of a head that has them. Raises InputError for one without."""
        if self.uv is None or self.uv_faces is None:
            raise InputError("texture: the head model has no UV; load it with its template OBJ")
        return self.uv, self.uv_faces

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
        Computes in the module's own precision, under autocast too: bfloat16 would move vertices by half a millimetre.
        """
        dtype = self.template.dtype
        rest = torch.zeros_like(global_pose)
        eyes = (rest, rest) if eye_pose is None else (eye_pose[:, :3], eye_pose[:, 3:])
        pose = torch.stack([p if p is not None else rest for p in (global_pose, neck_pose, jaw_pose, *eyes)], 1)
        coefficients = torch.cat([shape, expression], 1)
        with torch.autocast(self.template.device.type, enabled=False):
            return self._decode(coefficients.to(dtype), pose.to(dtype), neck_pose is None and eye_pose is None)

    def _decode(self, coefficients: Tensor, pose: Tensor, only_jaw: bool) -> FlameOutput:
        """Coefficients [B, n_shape + n_expression], pose [B, 5, 3]; only_jaw: neck and eyes are at rest."""
        columns = self.columns[: self.n_columns_jaw] if only_jaw else self.columns
        constants = (self.joint_template, self.joint_blend, columns, self.parents)
        scales, transforms, joints, rotations = pose_chain(coefficients, pose, *constants)
        unposed, count = blend_shapes(self.template, scales, self.basis), len(self.weights)
        if not self.has_landmarks:
            return FlameOutput(skin(unposed, transforms, self.weight_blocks, count), joints)
        corners = self._landmark_points(contour_rows(rotations[:, 0], rotations[:, 1]))
        vertices, points = skin_with_points(unposed, transforms, self.weight_blocks, count, *corners)
        return FlameOutput(vertices, joints, points)

    def restricted(self, vertices: Tensor) -> "Flame":
        """The same head with some of its vertices alone, whose indices are [M]: they and the landmarks decode to the
        same bits in a fraction of the time. It has neither faces, UV nor masks.

        The corners of all landmarks must be among `vertices`, and so must those of the mesh's points, or it has none.
        """
        part = copy.copy(self)
        part._buffers = dict(self._buffers)
        place = torch.full((len(self.weights),), -1, device=vertices.device)
        place[vertices] = torch.arange(len(vertices), device=vertices.device)
        kept = place[self.dense_corners] if self.dense is not None else place[:0]
        part.dense = self.dense if bool((kept >= 0).all()) else None
        part._masks, part._exact = [], {}
        for name in ("faces", "uv", "uv_faces"):
            part._buffers[name] = None
        chosen = vertices.cpu().numpy()
        weights = self.weights[vertices]
        blocks = {
            "basis": _blocks(_unblocked(self.basis)[..., chosen]),
            "template": _blocks(_unblocked(self.template)[..., chosen]),
            "weight_blocks": _blocks(weights.cpu().numpy().T[None]).reshape(-1, N_JOINTS, BLOCK),
        }
        part._buffers |= {name: torch.from_numpy(array).to(self.template) for name, array in blocks.items()}
        part._buffers["weights"] = weights
        for name in ("contour_corners", "fixed_corners", *(("dense_corners",) if part.dense is not None else ())):
            part._buffers[name] = place[self._buffers[name]]
        return part

    @property
    def landmark_corners(self) -> Tensor:
        """[M] vertices, each once, that any of the landmarks lies between; of a head that has landmarks."""
        return torch.cat([self.contour_corners.flatten(), self.fixed_corners.flatten()]).unique()

    def _landmark_points(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Vertices and weights, each [B, 136, 3]: the contour for the yaw `rows` [B], 51 static and 68 fixed points."""
        parts = (self.contour_corners, self.fixed_corners), (self.contour_weights, self.fixed_weights)
        corners, weights = (
            torch.cat([contour.index_select(0, rows), fixed.expand(len(rows), -1, 3)], 1) for contour, fixed in parts
        )
        return corners, weights

    def _float_arrays(self, head: HeadArrays) -> dict[str, np.ndarray]:
        """Everything in floating point, at the precision of the file."""
        first, count = head.n_shape_total, self.n_shape + self.n_expression
        chosen = [*range(self.n_shape), *range(first, first + self.n_expression)]
        directions = np.concatenate([head.shapedirs[:, :, chosen], head.posedirs], 2)  # [V, 3, count + 36]
        neck, jaw, eyes = (range(count + 9 * i, count + 9 * j) for i, j in ((0, 1), (1, 2), (2, 4)))
        # Mostly only the jaw moves: its correctives come first, so that the rest can be left off.
        always = [column for column in (*range(count), *jaw) if directions[:, :, column].any()]
        columns = always + [column for column in (*neck, *eyes) if directions[:, :, column].any()]
        self.n_columns_jaw = len(always)
        self._constant("columns", torch.tensor(columns, dtype=torch.long))
        regressor = head.joint_regressor.astype(np.float64)
        joint_blend = np.einsum("jv,vck->kjc", regressor, directions[:, :, :count].astype(np.float64), optimize=True)
        arrays = {
            "basis": _blocks(directions[:, :, columns].transpose(2, 1, 0)),  # [N, K, 3 * BLOCK]
            "template": _blocks(head.v_template.T[None]),  # [N, 1, 3 * BLOCK]
            "weight_blocks": _blocks(head.weights.T[None]).reshape(-1, N_JOINTS, BLOCK),
            "weights": head.weights,  # [V, 5]
            "joint_template": (regressor @ head.v_template).reshape(-1),  # [5 * 3]
            "joint_blend": joint_blend.reshape(count, -1),  # [count, 5 * 3]
        }
        if head.landmarks is not None:
            arrays["contour_weights"] = head.landmarks.dynamic_weights
            arrays["fixed_weights"] = np.concatenate([head.landmarks.static_weights, head.landmarks.full_weights])
        return arrays

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Flame":
        """As for any module; a change to float64 starts from the file's own precision, not from float32."""
        before = self.template.dtype
        super()._apply(fn, recurse)
        if self.template.dtype == torch.float64 != before:
            for name, array in self._exact.items():
                setattr(self, name, torch.tensor(array, dtype=torch.float64, device=self.template.device))
        return self

    def _constant(self, name: str, value: Tensor | None) -> None:
        # The head is no part of a checkpoint: its hash is.
        self.register_buffer(name, value, persistent=False)


def _unblocked(blocks: Tensor) -> np.ndarray:
    """The inverse of `_blocks` for three axes, with its padding: [N, R, 3 * BLOCK] -> [R, 3, N * BLOCK]."""
    parts = blocks.cpu().numpy().reshape(*blocks.shape[:2], 3, BLOCK)
    return parts.transpose(1, 2, 0, 3).reshape(blocks.shape[1], 3, -1)


def _blocks(values: np.ndarray) -> np.ndarray:
    """Rows over vertices [R, A, V] -> [N, R, A * BLOCK], the last block padded with zeros."""
    rows, axes, count = values.shape
    blocks = -(-count // BLOCK)
    padded = np.zeros((rows, axes, blocks * BLOCK), values.dtype)
    padded[:, :, :count] = values
    return np.ascontiguousarray(padded.reshape(rows, axes, blocks, BLOCK).transpose(2, 0, 1, 3)).reshape(
        blocks, rows, -1
    )
