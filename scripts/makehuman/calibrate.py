"""Measure how scanned people vary in MakeHuman's directions, and write `people.npz`.

    python -m scripts.makehuman.calibrate WHEEL MODEL LANDMARKS

MODEL and LANDMARKS: a scan-derived head in FLAME's format. 1. Its mean is fitted by non-rigid ICP in the directions,
which also ties its vertices to points of MakeHuman's skin. 2. The mean's coefficients are a bounded ridge regression.
3. The covariance is that of a linear random-effects model (Laird and Ware 1982): a scanned person's offsets are the
directions times normal coefficients plus noise; EM. The scans' own directions stand for infinitely many random people,
and their mirror images count as much. Differences along the skin weigh little, since nobody knows what slid there.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import lsq_linear
from scipy.spatial.transform import Rotation

from mfnet.landmarks.ibug import MIRRORED
from scripts.makehuman.mesh import HeadMesh, make_mesh
from scripts.makehuman.people import ATTRIBUTES, Directions, Statistics, read_directions, write_statistics
from scripts.makehuman.scans import Scans, read_scans
from scripts.makehuman.source import Source
from scripts.makehuman.surface import Closest, Surface, openness, rigid, rigid_motions, vertex_normals

LANDMARKS = {  # iBUG: vertex of the base mesh; corners of the eyes, nose and mouth on the subject's right and middle
    **{27: 136, 28: 131, 29: 164, 30: 5134, 31: 325, 32: 313, 33: 312, 36: 18, 37: 7, 38: 4865, 39: 71, 40: 50},
    **{41: 6776, 48: 3736, 49: 5351, 50: 457, 51: 466, 57: 492, 58: 490, 59: 478, 61: 462, 62: 468, 66: 557, 67: 517},
}
SLIDE = 0.3
"""Weight of a difference along the skin against one across it."""
NOISE = 3e-3
"""Standard deviation of a difference across the skin that is not the directions' to explain, metres. Neighbours share
it, hence more than the half millimetre that is left."""
WALL_NOISE = 2e-3
"""How much the thickness of lips and cheeks before the mouth's inside may vary at each vertex, metres. The scans do not
show it, and thinner ones would let teeth and gums through."""
WALL = (0.001, 0.007)
"""Least and largest thickness of such walls, metres: thicker ones are in no danger."""
EM_STEPS = 5
"""More steps only move variance between directions that the scans cannot tell apart."""
MIXED = {"sex": 0.25, "age": 0.2, "african": 0.2, "asian": 0.25}
"""Least standard deviations of attributes: the scans are not labelled, and a population of both sexes and all origins
has more of MakeHuman's differences than a fit without labels ascribes to them."""
MEAN_BOUND = 0.6
"""The mean person lies within this share of the coefficients' bounds, to leave room on both sides."""
_ICP_STEPS = 30
_COARSE = 15  # first steps, in which the landmarks count more
_REACH = 0.01  # metres: pairs farther apart fade
_PRIOR = {"ears": 0.2, "neck": 0.15, "asym": 0.2}  # standard deviations of details before anything is seen, by room
_PRIOR_ODD, _PRIOR_DETAIL, _PRIOR_ATTRIBUTE, _PRIOR_PLACE = 0.2, 0.35, 0.3, 0.2


@dataclass(frozen=True)
class Tie:
    """P of the scans' vertices and the points of MakeHuman's skin that they belong to, in its frame."""

    pick: np.ndarray  # [P] vertices of the scans
    points: Closest
    normals: np.ndarray  # [P, 3]
    importance: np.ndarray  # [P] weight of each pair, 0..1
    rotation: np.ndarray  # [3, 3] and
    shift: np.ndarray  # [3]: scans @ rotation + shift lies on MakeHuman's head

    def residual(self, field: np.ndarray) -> np.ndarray:
        """Offsets [..., P, 3] as weighted differences [..., P * 6], across the skin and along it."""
        across = (field * self.normals).sum(-1, keepdims=True) * self.normals
        parts = np.concatenate([across, SLIDE * (field - across)], -1) * np.sqrt(self.importance)[:, None]
        return parts.reshape(*field.shape[:-2], -1)


def calibrate(source: Source, scans: Scans) -> Statistics:
    """Mean and covariance of the coefficients over the scanned people."""
    mesh = make_mesh(source)
    base = read_directions(source)
    directions, prior = base.carried(mesh.operator), prior_spread(base)
    tie = register(directions, mesh, scans, prior, _landmarks(source, base))
    design, mean_offset, offsets = _without_motion(tie, directions, scans)
    walls = wall_rows(directions, mesh) * NOISE / WALL_NOISE
    design = np.concatenate([design, walls], axis=1)
    mean_offset = np.concatenate([mean_offset, np.zeros(walls.shape[1])])
    offsets = np.concatenate([offsets, np.zeros((len(offsets), walls.shape[1]))], axis=1)
    mean = fit_mean(design, mean_offset, prior, base)
    covariance = mix(fit_covariance(design, offsets, prior, base.odd))
    return Statistics(base.names, mean, np.linalg.cholesky(covariance))


def prior_spread(directions: Directions) -> np.ndarray:
    """[K] standard deviations that a coefficient has before scans are seen, and keeps where they say nothing."""
    spread = np.full(len(directions.names), _PRIOR_DETAIL)
    for k, name in enumerate(directions.names):
        if name in ATTRIBUTES:
            spread[k] = _PRIOR_ATTRIBUTE
        elif name.startswith("head/head-trans") or "nubian" in name:  # these move the whole head or skull by decimetres
            spread[k] = _PRIOR_PLACE
        elif name.split("/")[0] in _PRIOR:
            spread[k] = _PRIOR[name.split("/")[0]]
        elif directions.odd[k]:
            spread[k] = _PRIOR_ODD
    return spread


def register(
    directions: Directions, mesh: HeadMesh, scans: Scans, prior: np.ndarray, landmarks: tuple[np.ndarray, np.ndarray]
) -> Tie:
    """Non-rigid ICP of the scans' mean in the span of the directions.

    landmarks: points [L, 3] of the average and their offsets [K, L, 3], in the order of `_numbers`.
    """
    outer = mesh.faces[np.isin(mesh.room, ("face", "neck"))]
    light = _lit(openness(directions.average, mesh.faces))
    trust = np.where(_moved_by(directions, "ears/"), 0.5, np.where(_moved_by(directions, "neck/"), 0.3, 1.0))[:, None]
    pick = np.flatnonzero(scans.skin & (_lit(scans.openness) > 0))
    own = _lit(scans.openness[pick]) * np.where(scans.face[pick], 1.0, 0.8)
    points, normals = scans.mean[pick], vertex_normals(scans.mean, scans.faces)[pick]
    marks = scans.landmarks[np.array(_numbers()) - 17]
    rotation, shift = rigid(marks, landmarks[0])
    coefficients = np.zeros(len(prior))
    for step in range(_ICP_STEPS):
        vertices = directions.vertices(coefficients[None])[0]
        moved = points @ rotation + shift
        nearest = Surface(vertices, outer).closest(moved)
        skin = nearest.mix(vertex_normals(vertices, mesh.faces))
        agree = (skin * (normals @ rotation)).sum(-1) > 0.5
        importance = own * agree * np.exp(-((nearest.distance / _REACH) ** 2)) * nearest.mix(light[:, None])[:, 0]
        importance = importance * np.where(scans.face[pick], 1.0, nearest.mix(trust)[:, 0])
        tie = Tie(pick, nearest, skin, importance, rotation, shift)
        if step == _ICP_STEPS - 1:
            return tie
        mark_noise = NOISE if step < _COARSE else 2 * NOISE
        coefficients, turn, move = _step(tie, directions, moved, prior, landmarks, marks, mark_noise)
        rotation, shift = rotation @ turn, shift @ turn + move
    raise AssertionError("unreachable")


def _step(tie, directions, moved, prior, landmarks, marks, mark_noise):
    """One Gauss-Newton step: coefficients [K] and the motion that the scans make: rotation [3, 3], shift [3]."""
    centre = moved.mean(0)
    seen = marks @ tie.rotation + tie.shift
    rows = np.concatenate(
        [
            np.concatenate(
                [tie.residual(tie.points.mix(directions.offsets)), -tie.residual(rigid_motions(moved, centre))]
            )
            / NOISE,
            np.concatenate([_flat(landmarks[1]), -_flat(rigid_motions(seen, centre))]) / mark_noise,
        ],
        axis=1,
    )
    wanted = tie.residual(moved - tie.points.mix(directions.average)) / NOISE
    wanted = np.concatenate([wanted, _flat(seen - landmarks[0]) / mark_noise])
    precision = np.diag(np.concatenate([prior**-2, np.zeros(6)]))
    solution = np.linalg.solve(rows @ rows.T + precision, rows @ wanted)
    move, turn = solution[-6:-3], Rotation.from_rotvec(solution[-3:]).as_matrix().T
    return solution[:-6], turn, centre + move - centre @ turn


def wall_rows(directions: Directions, mesh: HeadMesh) -> np.ndarray:
    """[K, W] change of thickness between the skin and what lies behind it in the mouth, metres per unit."""
    skin = mesh.faces[np.isin(mesh.room, ("face", "neck"))]
    behind = mesh.faces[np.isin(mesh.room, ("mouth_inside", "upper_teeth", "lower_teeth", "tongue"))]
    inner = np.setdiff1d(behind, skin)
    before = Surface(directions.average, skin).before(directions.average[inner])
    wall = (before.distance > WALL[0]) & (before.distance < WALL[1])
    inner, before = inner[wall], Closest(*(part[wall] for part in before))
    return (before.mix(directions.offsets) - directions.offsets[:, inner])[:, :, 2]


def _without_motion(tie: Tie, directions: Directions, scans: Scans) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences that no motion of the head makes: of directions [K, M], of the mean [M], of the scans' own [S, M]."""
    mean = scans.mean[tie.pick] @ tie.rotation + tie.shift
    basis, _ = np.linalg.qr(tie.residual(rigid_motions(mean, mean.mean(0))).T)
    own = np.einsum("pcs,cd->spd", scans.directions[tie.pick], tie.rotation)
    fields = (tie.points.mix(directions.offsets), mean - tie.points.mix(directions.average), own)
    found = [tie.residual(field) for field in fields]
    return tuple(field - (field @ basis) @ basis.T for field in found)


def fit_mean(design: np.ndarray, offset: np.ndarray, prior: np.ndarray, directions: Directions) -> np.ndarray:
    """Ridge regression of the mean person on the even directions, within bounds: [K]."""
    limits = Statistics(directions.names, prior, np.diag(prior))
    even = ~directions.odd
    rows = np.concatenate([design.T / NOISE, np.diag(1 / prior)])[:, even]
    bounds = (_inner(limits.lower, limits.upper)[even], _inner(limits.upper, limits.lower)[even])
    mean = np.zeros(len(prior))
    mean[even] = lsq_linear(rows, np.concatenate([offset / NOISE, np.zeros(len(prior))]), bounds=bounds).x
    return mean


def mix(covariance: np.ndarray) -> np.ndarray:
    """The covariance [K, K] with attributes as wide as `MIXED` at least, their correlations kept."""
    spread = np.sqrt(np.diag(covariance))
    wider = np.ones(len(spread))
    for k, name in enumerate(ATTRIBUTES):
        wider[k] = max(1.0, MIXED.get(name, 0.0) / spread[k])
    return covariance * wider * wider[:, None]


def _inner(bound: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (bound + other) / 2 + MEAN_BOUND * (bound - other) / 2


def fit_covariance(design: np.ndarray, offsets: np.ndarray, prior: np.ndarray, odd: np.ndarray) -> np.ndarray:
    """[K, K] covariance of the coefficients: no relation of even with odd nor of attributes with details.

    design [K, M], offsets [S, M]: differences per unit and per standard deviation.
    """
    kind = np.where(odd, 2, 0)
    kind[: len(ATTRIBUTES)] = 1
    related = kind[:, None] == kind
    covariance = np.diag(prior**2)
    for _ in range(EM_STEPS):
        unknown = np.linalg.inv(design @ design.T / NOISE**2 + np.linalg.inv(covariance))
        codes = unknown @ (design @ offsets.T) / NOISE**2
        covariance = (codes @ codes.T + unknown) * related
    return covariance


def _numbers() -> list[int]:
    """iBUG numbers of the landmarks in use, the right half's and middle's, then their mirror images."""
    return [*LANDMARKS, *(MIRRORED[number] for number in LANDMARKS if MIRRORED[number] != number)]


def _landmarks(source: Source, base: Directions) -> tuple[np.ndarray, np.ndarray]:
    """Points [L, 3] of the average and their offsets [K, L, 3], in the order of `_numbers`."""
    right = np.array(list(LANDMARKS.values()))
    sided = np.array([MIRRORED[number] != number for number in LANDMARKS])
    rows = np.concatenate([right, source.mirror[right[sided]]])
    return base.average[rows], base.offsets[:, rows]


def _moved_by(directions: Directions, room: str) -> np.ndarray:
    """[V] vertices that an even direction of the room moves by more than 2 mm."""
    own = [k for k, name in enumerate(directions.names) if name.startswith(room) and not directions.odd[k]]
    return np.linalg.norm(directions.offsets[own], axis=-1).max(0) > 2e-3


def _lit(open_share: np.ndarray) -> np.ndarray:
    """Weight 0..1 of a vertex: none where it sees less than a seventh of its sky, full from a half."""
    return np.clip((open_share - 0.15) / 0.35, 0, 1)


def _flat(field: np.ndarray) -> np.ndarray:
    return field.reshape(*field.shape[:-2], -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("landmarks", type=Path)
    arguments = parser.parse_args()
    statistics = calibrate(Source(arguments.wheel), read_scans(arguments.model, arguments.landmarks))
    write_statistics(statistics)
    spread = np.linalg.norm(statistics.factor, axis=1)
    for name, mean, deviation in zip(statistics.names, statistics.mean, spread, strict=True):
        print(f"{name:45s} {mean:6.2f} {deviation:5.2f}")


if __name__ == "__main__":
    main()
