"""The 100 identity directions: named anatomical variations and finer smooth ones, with the energy of real faces.

Magnitudes follow a public morphable model of scanned heads (ICT-FaceKit, measured in docs/log.md): over random
N(0, 1) identities a vertex of the face moves by 4.1 mm (3-D standard deviation), the strongest component by 2.8 mm,
and components fall off like `spectrum`.
"""

from collections.abc import Sequence

import numpy as np

from mfnet.flame.procedural.fields import Bump, both_sides, carry_eyes
from mfnet.flame.procedural.skinning import jaw_weights
from mfnet.flame.procedural.topology import HeadMesh

FACE_SPREAD = 4.1e-3
"""3-D standard deviation of the face's vertices over random identities, metres."""

GLOBAL = {  # growth of the head about the ears, mm per decimetre along x, y, z; three span every such growth
    "size": (3.0, 3.0, 3.0),
    "width": (4.0, -0.6, -0.4),
    "height": (-0.5, 4.0, -0.5),
}

EVEN = {  # the same on both sides, broad ones first
    "face length": [Bump((0, -0.090, 0.050), (0.07, 0.045, 0.08), (0, -4.0, 0.0))],
    "jaw width": [Bump((0.055, -0.055, 0.0), (0.025, 0.030, 0.035), (4.0, 0.0, 0.0))],
    "chin forward": [Bump((0, -0.078, 0.065), (0.026, 0.020, 0.030), (0, -0.5, 4.0))],
    "convexity": [
        Bump((0, -0.015, 0.075), (0.045, 0.035, 0.05), (0, 0, 3.5)),
        Bump((0, -0.085, 0.06), 0.03, (0, 0, -2)),
    ],
    "cheeks full": [Bump((0.042, -0.030, 0.040), (0.020, 0.022, 0.028), (2.8, 0, 1.8))],
    "forehead slope": [Bump((0, 0.090, 0.045), (0.06, 0.030, 0.05), (0, 0, -4.0))],
    "chin height": [Bump((0, -0.088, 0.055), (0.030, 0.014, 0.030), (0, -3.0, 0))],
    "jaw angle": [Bump((0.058, -0.050, -0.010), (0.022, 0.018, 0.024), (0.6, -3.0, -1.5))],
    "cheekbones": [Bump((0.050, 0.002, 0.030), (0.020, 0.016, 0.026), (2.6, 0, 1.6))],
    "cranium height": [Bump((0, 0.125, -0.03), (0.08, 0.05, 0.08), (0, 4.0, 0))],
    "back of the head": [Bump((0, 0.040, -0.130), (0.08, 0.06, 0.05), (0, 0, -4.0))],
    "temples": [Bump((0.066, 0.045, 0.015), (0.022, 0.026, 0.026), (2.6, 0, 0))],
    "nose length": [Bump((0, -0.012, 0.080), (0.016, 0.014, 0.020), (0, -2.5, 0.4))],
    "nose protrusion": [Bump((0, -0.008, 0.085), (0.014, 0.016, 0.022), (0, 0, 3.2))],
    "nose width": [Bump((0.015, -0.014, 0.070), (0.009, 0.010, 0.014), (2.4, 0, 0))],
    "nose bridge": [Bump((0, 0.014, 0.072), (0.010, 0.014, 0.020), (0, 0, 2.6))],
    "bridge width": [Bump((0.009, 0.012, 0.062), (0.008, 0.014, 0.014), (1.6, 0, 0.5))],
    "tip up": [Bump((0, -0.010, 0.086), (0.011, 0.009, 0.014), (0, 2.4, -0.3))],
    "brow ridge": [Bump((0.022, 0.046, 0.060), (0.020, 0.008, 0.022), (0, 0, 2.6))],
    "brow height": [Bump((0.030, 0.047, 0.055), (0.024, 0.010, 0.022), (0, 2.4, 0))],
    "eye distance": [Bump((0.032, 0.025, 0.045), (0.017, 0.017, 0.022), (2.4, 0, 0))],
    "eye depth": [Bump((0.032, 0.025, 0.045), (0.018, 0.016, 0.024), (0, 0, -2.4))],
    "eye height": [Bump((0.032, 0.025, 0.045), (0.022, 0.016, 0.024), (0, 2.2, 0))],
    "mouth width": [Bump((0.024, -0.045, 0.060), (0.011, 0.012, 0.018), (2.6, 0, -0.3))],
    "mouth height": [Bump((0, -0.045, 0.068), (0.030, 0.014, 0.022), (0, 2.2, 0))],
    "lips forward": [Bump((0, -0.045, 0.072), (0.024, 0.012, 0.018), (0, 0, 2.6))],
    "upper lip full": [Bump((0, -0.038, 0.072), (0.018, 0.0045, 0.014), (0, 1.4, 0.8), lip=1)],
    "lower lip full": [Bump((0, -0.051, 0.072), (0.017, 0.0050, 0.014), (0, -1.4, 0.8), lip=-1)],
    "chin width": [Bump((0.018, -0.080, 0.055), (0.014, 0.014, 0.020), (2.6, 0, 0))],
    "forehead width": [Bump((0.050, 0.075, 0.030), (0.026, 0.030, 0.032), (2.8, 0, 0.6))],
    "ears out": [Bump((0.082, 0.002, -0.036), (0.020, 0.026, 0.020), (4.0, 0, -0.6))],
    "ears long": [Bump((0.078, -0.030, -0.030), (0.018, 0.020, 0.020), (0, -3.0, 0))],
    "neck thick": [Bump((0.055, -0.120, -0.055), (0.030, 0.045, 0.060), (4.0, 0, 0))],
    "neck front": [Bump((0, -0.115, 0.000), (0.035, 0.030, 0.040), (0, 0, 3.5))],
    "nape": [Bump((0, -0.080, -0.110), (0.050, 0.045, 0.040), (0, 0, -3.5))],
}

ODD = {  # opposite on the two sides
    "jaw sideways": [Bump((0.030, -0.075, 0.040), (0.036, 0.030, 0.040), (3.0, 0, 0.4))],
    "nose sideways": [Bump((0.008, -0.004, 0.078), (0.010, 0.018, 0.020), (2.0, 0, 0))],
    "mouth slant": [Bump((0.022, -0.045, 0.064), (0.014, 0.013, 0.018), (0, 1.8, 0))],
    "eyes slant": [Bump((0.032, 0.030, 0.045), (0.020, 0.018, 0.024), (0, 1.6, 0))],
    "cheeks uneven": [Bump((0.048, -0.015, 0.030), (0.024, 0.028, 0.030), (1.8, 0, 1.2))],
    "brows uneven": [Bump((0.030, 0.046, 0.055), (0.020, 0.010, 0.020), (0, 1.5, 0))],
    "jaw angles uneven": [Bump((0.056, -0.050, -0.005), (0.022, 0.022, 0.026), (2.0, -0.8, 0))],
}


PEAK = 4.0
"""Most by which a component may move a vertex, in root mean squares over the face: keeps local ones in bounds."""
ODD_SHARE = 0.5
"""Energy of odd components relative to even ones of their rank: a face is most like its mirror image."""


def spectrum(count: int) -> np.ndarray:
    """Relative energy (root mean square displacement of the face) of the components 1 .. count."""
    k = np.arange(1, count + 1)
    tail = 1.35 * np.maximum(k - 1, 1) ** -0.40 * np.exp(-(k - 2) / 60.0)
    return np.where(k == 1, 2.80, tail)


def _grow(rates: Sequence[float], points: np.ndarray, jaw: np.ndarray) -> np.ndarray:
    return (points - np.array([0.0, 0.0, -0.030])) * np.array(rates) * 1e-2


def _scattered(rng: np.random.Generator, mesh: HeadMesh, index: int, count: int) -> tuple[list[Bump], float]:
    """A finer variation: three bumps somewhere on the face whose width shrinks with `index`; one in four is odd."""
    face = np.flatnonzero(
        (mesh.part == 0) & (mesh.vertices[:, 0] > 0.004) & (mesh.vertices[:, 2] > -0.03) & (mesh.vertices[:, 1] > -0.10)
    )
    width = 0.026 * (0.011 / 0.026) ** (index / max(count - 1, 1))
    bumps = [
        Bump(tuple(mesh.vertices[face[rng.integers(len(face))]]), width, tuple(rng.normal(size=3) * (0.8, 0.9, 1.0)))
        for _ in range(3)
    ]
    return bumps, (-1.0 if index % 4 == 3 else 1.0)


def _fields(mesh: HeadMesh, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Displacement fields [V, 3] in the order in which they get energy: global, even and odd, then finer ones."""
    jaw = jaw_weights(mesh)
    fields = [carry_eyes(lambda p, j, rates=rates: _grow(rates, p, j), mesh, jaw) for rates in GLOBAL.values()]
    named = [(bumps, 1.0) for bumps in EVEN.values()]
    for slot, bumps in enumerate(ODD.values()):
        named.insert(14 + 5 * slot, (bumps, -1.0))
    finer = count - len(fields) - len(named)
    named += [_scattered(rng, mesh, index, finer) for index in range(finer)]
    for bumps, sign in named[: count - len(fields)]:
        fields.append(carry_eyes(lambda p, j, b=bumps, s=sign: both_sides(b, p, j, s), mesh, jaw))
    return fields


def face_measure(mesh: HeadMesh) -> np.ndarray:
    """Weights [V] summing to one: area of the face's skin, and a tenth of that of the rest of the head."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    area = np.zeros(len(mesh.vertices))
    np.add.at(area, mesh.faces, np.repeat(np.sqrt((normal**2).sum(-1))[:, None] / 6.0, 3, axis=1))
    face = face_region(mesh)
    weight = area * np.where(face, 1.0, 0.1) * (mesh.part == 0)
    return weight / weight.sum()


def face_region(mesh: HeadMesh) -> np.ndarray:
    """The front of the head [V] on which spread is measured: skin from chin to brow, before the ears."""
    p = mesh.vertices
    return (mesh.part == 0) & (p[:, 2] > 0.0) & (p[:, 1] > -0.092) & (p[:, 1] < 0.080)


def shape_directions(mesh: HeadMesh, count: int, rng: np.random.Generator) -> np.ndarray:
    """Directions [V, 3, count] in metres per standard deviation, orthogonal under `face_measure`, falling in energy."""
    measure = face_measure(mesh)[:, None]
    energy = spectrum(count)
    basis: list[np.ndarray] = []
    for field in _fields(mesh, count, rng):
        for _ in range(2):  # twice is enough for orthogonality to rounding
            for other in basis:
                field = field - (measure * field * other).sum() * other
        basis.append(field / np.sqrt((measure * field * field).sum()))
    directions = np.stack(basis, axis=-1)
    peak = np.sqrt((directions[face_region(mesh)] ** 2).sum(1)).max(0)
    energy = energy * np.minimum(1.0, PEAK / peak)
    odd = (directions[mesh.mirror, 0] * directions[:, 0]).sum(0) > 0.0  # mirrored x of an odd field is the same
    directions = directions * np.where(odd, ODD_SHARE * energy, energy)
    face = face_region(mesh)
    spread = np.sqrt((directions[face] ** 2).sum((1, 2))).mean()
    directions = directions * (FACE_SPREAD / spread)
    power = (directions[face] ** 2).sum(1).mean(0)
    return directions[:, :, np.argsort(-np.rint(power / 1e-15), kind="stable")]
