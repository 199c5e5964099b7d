"""The MakeHuman-based head that ships with the package: `makehuman.npz`, CC0, read whole.

The file holds middle and left half in whole steps of grids; the right half is their mirror image, so left and right
are exact pairs and every machine gets the same values. `makehuman.md` says what it is and how it was made.
"""

import dataclasses
from pathlib import Path

import numpy as np

from mfnet.flame.dense import dense_from_fields
from mfnet.flame.head import JOINT_NAMES, HeadArrays, LandmarkEmbedding
from mfnet.flame.population import Population
from mfnet.flame.provenance import provenance_from_fields
from mfnet.io.npz import read_npz

MODEL = "makehuman"
"""What params name it by."""
PATH = Path(__file__).with_name("makehuman.npz")
MESH = PATH.with_name("makehuman_mesh.npz")
"""Where the 478 points of MediaPipe's mesh lie on it: written by ``mfnet head landmarks makehuman --points``."""
METRE = 1e-6
"""Step of vertices and directions, metres."""
SHARE, WEIGHT, TEXEL = 2.0**-20, 2.0**-15, 2.0**-16
"""Steps of the regressor, of skinning and barycentric weights, and of texture coordinates."""
STATISTIC = 1e-4
"""Step of the population's table; its ages are years, its other attributes shares of 1."""
_MAX_BYTES = 64 << 20
_SWAPPED = [0, 1, 2, 4, 3]  # joints of the image: the eyes change places
_IMAGE = np.array([-1, 1, 1])


@dataclasses.dataclass(frozen=True)
class FaceUnits:
    """What the head's expression columns are called, and units that export adds."""

    names: tuple[str, ...]
    """ARKit's name of each expression column; 2.5 of its coefficient are the whole unit."""
    extra_names: tuple[str, ...]
    """Units whose whole form is no column: joints stand for it, or the column is another (`mouthClose`)."""
    extra: np.ndarray
    """[V, 3, N] metres at weight 1."""


def makehuman_head() -> HeadArrays:
    """The head in float32: 100 identity and 50 expression coefficients, all N(0, 1)."""
    return decode(_read())


def with_mesh(head: HeadArrays) -> HeadArrays:
    """A head with the 478 points that ship for it, where it is the shipped one and has none of its own."""
    if head.dense is not None:
        return head
    fields = read_npz(MESH, _MAX_BYTES)
    if head.content_hash() != fields["content_hash"].item():
        return head
    return dataclasses.replace(head, dense=dense_from_fields(fields, len(head.faces), MESH))


def makehuman_units() -> FaceUnits:
    """The names of its expression columns, and the units for export."""
    fields = _read()
    names, extra = (tuple(fields[key].tolist()) for key in ("expression_names", "extra_names"))
    return FaceUnits(names, extra, (_paired(fields["extra_units"], list(extra), fields) * METRE).astype(np.float32))


def decode(fields: dict[str, np.ndarray]) -> HeadArrays:
    """The head of the file's `fields`; masks only where they hold some."""
    middle, half = int(fields["n_middle"]), len(fields["vertices"])
    sign = np.where(fields["odd"], -1, 1)
    identity = fields["identity"].astype(np.int32)
    identity = np.concatenate([identity, identity[middle:] * _IMAGE[:, None] * sign])
    expression = _paired(fields["expression"], fields["expression_names"].tolist(), fields)
    vertices, weights = fields["vertices"], fields["weights"]
    return HeadArrays(
        v_template=_real(np.concatenate([vertices, vertices[middle:] * _IMAGE]), METRE),
        shapedirs=_real(np.concatenate([identity, expression], 2), METRE),
        posedirs=np.zeros((2 * half - middle, 3, 9 * (len(JOINT_NAMES) - 1)), np.float32),
        joint_regressor=_regressor(fields["regressor"], middle),
        weights=_real(np.concatenate([weights, weights[middle:][:, _SWAPPED]]), WEIGHT),
        faces=_both(fields["faces"], middle, half),
        parents=np.array([-1, 0, 1, 1, 1]),
        n_shape_total=identity.shape[2],
        landmarks=_landmarks(fields),
        dense=None,
        **_uv(fields),
        masks=_masks(fields, middle),
        population=_population(fields),
        provenance=provenance_from_fields(fields, PATH),
    )


def _read() -> dict[str, np.ndarray]:
    return read_npz(PATH, _MAX_BYTES)


def _real(whole: np.ndarray, step: float) -> np.ndarray:
    return (whole * step).astype(np.float32)


def _both(faces: np.ndarray, shared: int, count: int) -> np.ndarray:
    """[F, 3] faces of the left half, then their images, corners reversed; the first `shared` vertices are common."""
    left = faces.astype(np.int64)
    return np.concatenate([left, np.where(left < shared, left, left + count - shared)[:, ::-1]])


def _paired(columns: np.ndarray, names: list[str], fields: dict[str, np.ndarray]) -> np.ndarray:
    """[V, 3, N] of columns on middle and left: a column's right half is the image of the other side's left half."""
    columns = columns.astype(np.int32)
    partner = [names.index(_other_side(name)) for name in names]
    right = columns[int(fields["n_middle"]) :, :, partner] * _IMAGE[:, None]
    return np.concatenate([columns, right])


def _other_side(name: str) -> str:
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


def _regressor(left: np.ndarray, middle: int) -> np.ndarray:
    """[5, V] of root, neck, jaw and left eye [half, 4]."""
    central, eye = left[:, :3], left[:, 3:]
    none = np.zeros_like(eye[middle:])
    columns = np.concatenate([central, central[middle:]])
    eyes = [np.concatenate([eye, none]), np.concatenate([np.zeros_like(eye), eye[middle:]])]
    return _real(np.concatenate([columns, *eyes], 1).T, SHARE)


def _landmarks(fields: dict[str, np.ndarray]) -> LandmarkEmbedding:
    static, dynamic = (
        (fields[f"{kind}_faces"].astype(np.int64), _real(fields[f"{kind}_weights"], WEIGHT))
        for kind in ("static", "dynamic")
    )
    full = (np.concatenate([walking[0], still]) for walking, still in zip(dynamic, static, strict=True))
    return LandmarkEmbedding(*static, *dynamic, *full)


def _uv(fields: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Texture coordinates and faces: the right half's are images, those on the line u = 0.5 are shared."""
    left, faces = fields["uv"], fields["uv_faces"].astype(np.int64)
    one = round(1 / TEXEL)
    own = 2 * left[:, 0] != one
    image = np.where(own, len(left) + np.cumsum(own) - 1, np.arange(len(left)))
    right = left[own] * [-1, 1] + [one, 0]
    return {
        "uv": _real(np.concatenate([left, right]), TEXEL),
        "uv_faces": np.concatenate([faces, image[faces][:, ::-1]]),
    }


def _population(fields: dict[str, np.ndarray]) -> Population | None:
    """Its covariance is stored as a lower triangular factor."""
    if "attribute_names" not in fields:
        return None
    mean, factor, slope = (fields[f"attribute_{name}"] * STATISTIC for name in ("mean", "factor", "slope"))
    return Population(tuple(fields["attribute_names"].tolist()), mean, factor @ factor.T, slope)


def _masks(fields: dict[str, np.ndarray], middle: int) -> dict[str, np.ndarray]:
    if "masks" not in fields:
        return {}
    names = fields["mask_names"].tolist()
    return {name: np.concatenate([m, m[middle:]]) for name, m in zip(names, fields["masks"], strict=True)}
