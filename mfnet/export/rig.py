"""A person as animation programs take heads: neutral vertices, skeleton, skinning weights and morph targets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mfnet.errors import InputError
from mfnet.flame import Flame
from mfnet.flame.head import JOINT_NAMES
from mfnet.flame.makehuman import FaceUnits, makehuman_head, makehuman_units
from mfnet.geometry import axis_angle_to_matrix

JAW = JOINT_NAMES.index("jaw")
INFLUENCES = 4
"""Joints that move a vertex at most: one set of glTF's attributes."""
WHOLE = 2.5
"""Coefficient of a column of the MakeHuman-based head at which its unit is whole, weight 1 (`makehuman.md`)."""
CORRECTIVE = "fit_corrective"
"""Morph target with what the fitted face has beyond skeleton and other targets: pose correctives, joints that the
expression moves, lids without the gaze."""
NOTHING = 1e-7
"""Metres below which a morph target's offset is taken for rounding."""
EXACT = 1e-6
"""Metres up to which the fitted face needs no corrective."""


@dataclass(frozen=True)
class Targets:
    """What a head's morph targets are called, and how they move it."""

    names: tuple[str, ...]
    """ARKit's where the head's expressions have them, ``expression_000``, ... else."""
    offsets: np.ndarray
    """[N, V, 3] float32, metres at weight 1."""
    from_coefficients: np.ndarray
    """[N, E] weights of an expression of E coefficients."""


@dataclass(frozen=True)
class RiggedHead:
    """A person's neutral head with everything that moves it, and the pose that it is shown in.

    Vertices are v = sum_j w_j (R_j (u - J_j) + t_j) of u = neutral + sum_i weight_i offset_i: linear blend skinning
    about the neutral head's joints.
    """

    neutral: np.ndarray
    """[V, 3] metres, head space: the person's shape with a face at rest."""
    joints: np.ndarray
    """[5, 3] metres: the joints of `mfnet.flame.head.JOINT_NAMES` at rest."""
    parents: list[int]
    """Of each joint, -1 at the root."""
    skinning: np.ndarray
    """[V, 5] weights of the joints, none negative, at most four a row; rows sum to 1."""
    names: tuple[str, ...]
    """Of the N morph targets."""
    offsets: np.ndarray
    """[N, V, 3] float32, metres at weight 1."""
    weights: np.ndarray
    """[N] of the pose that is shown."""
    jaw_pose: np.ndarray
    """[3] axis-angle of the jaw in that pose; the other joints are at rest."""

    def vertices(self) -> np.ndarray:
        """[V, 3] metres: the head in the pose that is shown, as a reader of the file computes it."""
        turns, shifts = self._blended()
        unposed = self.neutral + np.tensordot(self.weights, self.offsets, 1)
        return np.einsum("vij,vj->vi", turns, unposed) + shifts

    def posed_as(self, vertices: np.ndarray) -> "RiggedHead":
        """The same, with a corrective target of weight 1 where the pose is not these vertices [V, 3] to a micrometre.

        It takes the place of one that is there.
        """
        bare = self._without(CORRECTIVE)
        missing = vertices - bare.vertices()
        if np.abs(missing).max() <= EXACT:
            return bare
        turns, _ = bare._blended()
        offset = np.linalg.solve(turns, missing[..., None])[None, ..., 0].astype(np.float32)
        return replace(
            bare,
            names=(*bare.names, CORRECTIVE),
            offsets=np.concatenate([bare.offsets, offset]),
            weights=np.append(bare.weights, 1.0),
        )

    def _without(self, name: str) -> "RiggedHead":
        kept = [row for row, each in enumerate(self.names) if each != name]
        names = tuple(self.names[row] for row in kept)
        return replace(self, names=names, offsets=self.offsets[kept], weights=self.weights[kept])

    def _blended(self) -> tuple[np.ndarray, np.ndarray]:
        """Each vertex's transform: matrices [V, 3, 3] and shifts [V, 3]. The jaw alone turns, with what hangs on it."""
        turn = axis_angle_to_matrix(torch.from_numpy(self.jaw_pose)[None])[0].numpy()
        moved = [JAW]
        for joint, parent in enumerate(self.parents):
            moved += [joint] * (parent in moved)
        share = self.skinning[:, moved].sum(1)
        turns = np.eye(3) + share[:, None, None] * (turn - np.eye(3))
        return turns, share[:, None] * (self.joints[JAW] - turn @ self.joints[JAW])


def rigged_head(flame: Flame, shape: Tensor, expression: Tensor, jaw_pose: Tensor) -> RiggedHead:
    """The rig of a person with shape [n_shape], shown with expression [n_expression] and jaw_pose [3], axis-angle.

    Its vertices are those of the head model, to a micrometre.
    """
    none = torch.zeros(1, 3)
    rest = flame(shape[None], torch.zeros_like(expression)[None], none)
    shown = flame(shape[None], expression[None], none, jaw_pose=jaw_pose[None]).vertices[0]
    targets = targets_of(flame)
    rig = RiggedHead(
        neutral=_array(rest.vertices[0]),
        joints=_array(rest.joints[0]),
        parents=flame.parents,
        skinning=_skinning(_array(flame.weights)),
        names=targets.names,
        offsets=targets.offsets,
        weights=targets.from_coefficients @ _array(expression),
        jaw_pose=_array(jaw_pose),
    )
    return rig.posed_as(_array(shown))


def with_units(rig: RiggedHead, weights: Mapping[str, float]) -> RiggedHead:
    """The person with morph targets at these weights, by name, all others at 0, and the jaw joint at rest.

    Raises InputError for a name that the head does not have.
    """
    bare = replace(rig._without(CORRECTIVE), jaw_pose=np.zeros(3))
    require_units(weights, bare.names, "expression")
    return replace(bare, weights=np.array([float(weights.get(name, 0.0)) for name in bare.names]))


def require_units(names: Iterable[str], known: Sequence[str], where: str | Path) -> None:
    """Raise InputError, which begins with `where`, for names that are not among the known units."""
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise InputError(f"{where}: {unknown[0]!r:.80} is no unit of this head; it has {', '.join(known)}")


def target_names(flame: Flame) -> tuple[str, ...]:
    """Names of `targets_of` a head."""
    units = _units_of(flame)
    if units is None:
        return tuple(f"expression_{number:03d}" for number in range(flame.n_expression))
    return tuple(sorted({*units.names[: flame.n_expression], *units.extra_names}))


def targets_of(flame: Flame) -> Targets:
    """The morph targets of a head: ARKit's 52 for the MakeHuman-based one, else one for each expression coefficient."""
    columns, units, names = _columns(flame), _units_of(flame), target_names(flame)
    if units is None:
        return Targets(names, columns, np.eye(len(columns)))
    return _arkit(columns, units, names)


@torch.no_grad()
def _columns(flame: Flame) -> np.ndarray:
    """[E, V, 3] float32 metres per unit of each expression coefficient; exact zeros where a column moves nothing."""
    count = flame.n_expression
    codes = torch.cat([torch.zeros(1, count), torch.eye(count)])
    heads = flame(torch.zeros(count + 1, flame.n_shape), codes, torch.zeros(count + 1, 3)).vertices
    offsets = (heads[1:] - heads[:1]).cpu().numpy()
    return np.where(np.abs(offsets) > NOTHING, offsets, 0).astype(np.float32)


def _arkit(columns: np.ndarray, units: FaceUnits, names: tuple[str, ...]) -> Targets:
    """Whole units as morph targets.

    Where a unit's whole form is not its column, the column's coefficient still has to mean something: the column
    `mouthClose` is that unit and an open jaw together, those of the gaze move the lids without the eyeballs, which no
    unit does alone.
    """
    whole = {name: WHOLE * column for name, column in zip(units.names[: len(columns)], columns, strict=True)}
    whole |= dict(zip(units.extra_names, np.moveaxis(units.extra, 2, 0), strict=True))
    weights = np.zeros((len(names), len(columns)))
    for column, name in enumerate(units.names[: len(columns)]):
        if name == "mouthClose":
            weights[[names.index("mouthClose"), names.index("jawOpen")], column] = 1 / WHOLE
        elif name not in units.extra_names:
            weights[names.index(name), column] = 1 / WHOLE
    return Targets(names, np.stack([whole[name] for name in names]).astype(np.float32), weights)


def _skinning(weights: np.ndarray) -> np.ndarray:
    """Weights [V, 5] as glTF takes them: none negative, at most INFLUENCES a vertex, sums of 1."""
    least = np.sort(weights, 1)[:, -INFLUENCES, None]
    kept = np.where(weights >= least, weights, 0).clip(0)
    return kept / kept.sum(1, keepdims=True)


def _units_of(flame: Flame) -> FaceUnits | None:
    """The named units of a head that has them."""
    content_hash, units = _makehuman()
    return units if flame.content_hash == content_hash else None


@cache
def _makehuman() -> tuple[str, FaceUnits]:
    return makehuman_head().content_hash(), makehuman_units()


def _array(values: Tensor) -> np.ndarray:
    """float64, from a tensor on any device."""
    return values.detach().cpu().numpy().astype(np.float64)
