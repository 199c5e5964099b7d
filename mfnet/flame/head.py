"""The arrays of a head model in FLAME's format, checked, in one canonical form."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mfnet.errors import fail
from mfnet.flame.arrays import array_field, float_array, index_array
from mfnet.flame.dense import DenseEmbedding
from mfnet.flame.population import Population, population_from_fields
from mfnet.flame.provenance import Provenance, provenance_from_fields

MAX_VERTICES = 200_000
MAX_FACES = 400_000
MAX_COEFFICIENTS = 2_000
FLAME_N_SHAPE = 300
"""Identity columns of `shapedirs` in every FLAME release; the 100 expression columns follow."""
JOINT_NAMES = ("global", "neck", "jaw", "left_eye", "right_eye")
N_JOINTS = len(JOINT_NAMES)
_WEIGHT_TOLERANCE = 1e-3
_ROOTS = (-1, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # -1 as int, uint32 and uint64


@dataclass(frozen=True)
class LandmarkEmbedding:
    """Landmarks as points inside triangles, iBUG order: face index and barycentric weights of each.

    static [51] / [51, 3]: brows to mouth; dynamic [79, 17] / [79, 17, 3]: the contour for each yaw (row 0..39: +0..+39
    degrees, row 40..78: -1..-39); full [68] / [68, 3]: all 68 of the frontal head.
    """

    static_faces: np.ndarray
    static_weights: np.ndarray
    dynamic_faces: np.ndarray
    dynamic_weights: np.ndarray
    full_faces: np.ndarray
    full_weights: np.ndarray


@dataclass(frozen=True)
class HeadArrays:
    """A head model: V vertices, F faces, S identity + E expression directions, 5 joints.

    Floating arrays keep the precision of the file (float32 or float64), indices are int64.
    """

    v_template: np.ndarray  # [V, 3] metres, head space
    shapedirs: np.ndarray  # [V, 3, S + E] metres per unit coefficient
    posedirs: np.ndarray  # [V, 3, 36] metres per unit of (R - I), joints 1..4 row by row
    joint_regressor: np.ndarray  # [5, V]
    weights: np.ndarray  # [V, 5], rows sum to 1
    faces: np.ndarray  # [F, 3]
    parents: np.ndarray  # [5], -1 at the root, parents before children
    n_shape_total: int  # S
    landmarks: LandmarkEmbedding | None = None
    dense: DenseEmbedding | None = None  # the 478 points of a face mesh
    uv: np.ndarray | None = None  # [T, 2] in 0..1, v up
    uv_faces: np.ndarray | None = None  # [F, 3] into uv
    masks: dict[str, np.ndarray] = field(default_factory=dict)  # name -> bool [V]
    population: Population | None = None  # of the S identity coefficients
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def n_expression_total(self) -> int:
        """E, the number of expression directions."""
        return self.shapedirs.shape[2] - self.n_shape_total

    def declaring(
        self,
        edition: str | None = None,
        licence: str | None = None,
        attribution: str | None = None,
        may_show: bool | None = None,
    ) -> "HeadArrays":
        """The head with what is declared of it in place of what its file says; None leaves that as it is."""
        shown = None if may_show is None else "yes" if may_show else "no"
        declared = {"edition": edition, "licence": licence, "attribution": attribution, "may_show": shown}
        said = {name: text for name, text in declared.items() if text is not None}
        return replace(self, provenance=replace(self.provenance, **said))

    def content_hash(self) -> str:
        """SHA-256 (hex) over what the coefficients mean: geometry, bases and skinning, as float32 and int64.

        Landmarks, UV, masks, population and provenance are left out, so a head has one hash in every dialect, with or
        without them.
        """
        digest = hashlib.sha256(b"mfnet head 1")
        floats = ("v_template", "shapedirs", "posedirs", "joint_regressor", "weights")
        for name, dtype in [(name, "<f4") for name in floats] + [("faces", "<i8"), ("parents", "<i8")]:
            array = np.ascontiguousarray(getattr(self, name), dtype=dtype)
            array = array + array.dtype.type(0)  # -0.0 becomes 0.0
            digest.update(f"{name} {array.shape}".encode())
            digest.update(memoryview(array).cast("B"))
        digest.update(f"n_shape_total {self.n_shape_total}".encode())
        return digest.hexdigest()


def head_from_fields(fields: dict, path: str | Path) -> HeadArrays:
    """Check the fields of a model file, FLAME's keys, and bring them into canonical form.

    `fields` maps names to arrays; `shapedirs` may be replaced by `shapedirs_nz` [V, 3, N] and `shapedirs_cols` [N], its
    non-zero columns. Raises InputError naming `path` and the field.
    """
    v_template = float_array(fields, "v_template", (None, 3), path)
    count = len(v_template)
    if not 3 <= count <= MAX_VERTICES:
        fail(path, "v_template", f"has {count} vertices, allowed are 3 to {MAX_VERTICES}")
    faces = index_array(fields, "f", (None, 3), count, path)
    if not 1 <= len(faces) <= MAX_FACES:
        fail(path, "f", f"has {len(faces)} faces, allowed are 1 to {MAX_FACES}")
    shapedirs = _shapedirs(fields, count, path)
    weights = float_array(fields, "weights", (count, N_JOINTS), path)
    _check_weights(weights, path)
    for name, expected in (("bs_type", "lrotmin"), ("bs_style", "lbs")):
        if name in fields and not (isinstance(fields[name], str | np.ndarray) and str(fields[name]) == expected):
            fail(path, name, f"is not '{expected}', the only blend skinning that FLAME uses")
    n_shape_total = _n_shape_total(fields, shapedirs.shape[2], path)
    return HeadArrays(
        v_template=v_template,
        shapedirs=shapedirs,
        posedirs=float_array(fields, "posedirs", (count, 3, 9 * (N_JOINTS - 1)), path),
        joint_regressor=float_array(fields, "J_regressor", (N_JOINTS, count), path),
        weights=weights,
        faces=faces,
        parents=_parents(fields, path),
        n_shape_total=n_shape_total,
        population=population_from_fields(fields, n_shape_total, path),
        provenance=provenance_from_fields(fields, path),
    )


def _shapedirs(fields: dict, count: int, path: str | Path) -> np.ndarray:
    """`shapedirs` [V, 3, S + E], spread out from its non-zero columns where only those are stored."""
    if "shapedirs" in fields or "shapedirs_nz" not in fields:
        dirs = float_array(fields, "shapedirs", (count, 3, None), path)
        if not 1 <= dirs.shape[2] <= MAX_COEFFICIENTS:
            fail(path, "shapedirs", f"has {dirs.shape[2]} directions, allowed are 1 to {MAX_COEFFICIENTS}")
        return dirs
    packed = float_array(fields, "shapedirs_nz", (count, 3, None), path)
    total = FLAME_N_SHAPE + 100
    if not total // 16 <= packed.shape[2] <= total:
        fail(path, "shapedirs_nz", f"has {packed.shape[2]} directions, allowed are {total // 16} to {total}")
    columns = index_array(fields, "shapedirs_cols", (packed.shape[2],), total, path)
    if len(np.unique(columns)) != len(columns):
        fail(path, "shapedirs_cols", "names a column twice")
    dirs = np.zeros((count, 3, total), packed.dtype)
    dirs[:, :, columns] = packed
    return dirs


def _n_shape_total(fields: dict, total: int, path: str | Path) -> int:
    """How many columns of shapedirs are identity: as stored, else FLAME's 300."""
    if "n_shape_total" not in fields:
        return min(FLAME_N_SHAPE, total)
    value = fields["n_shape_total"]
    value = np.array(value) if type(value) is int else value
    number = isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "iu"
    if not number or not 1 <= int(value.item()) <= total:
        fail(path, "n_shape_total", f"is not one number in 1..{total}")
    return int(value.item())


def _check_weights(weights: np.ndarray, path: str | Path) -> None:
    if weights.min() < -_WEIGHT_TOLERANCE:
        fail(path, "weights", "has negative skinning weights")
    off = np.abs(weights.sum(1, dtype=np.float64) - 1)
    if off.max() > _WEIGHT_TOLERANCE:
        row = int(off.argmax())
        fail(path, "weights", f"has rows that do not sum to 1 (row {row} sums to {weights[row].sum():.4g})")


def _parents(fields: dict, path: str | Path) -> np.ndarray:
    """Parent of each joint from row 0 of `kintree_table` [2, 5]; a parent before its child rules cycles out."""
    table = array_field(fields, "kintree_table", (2, N_JOINTS), path)
    if table.dtype.kind not in "iu":
        fail(path, "kintree_table", f"has type {table.dtype}, expected integers")
    parents, joints = table.tolist()
    if joints != list(range(N_JOINTS)):
        fail(path, "kintree_table", f"does not number its joints 0..{N_JOINTS - 1}")
    if parents[0] not in _ROOTS:
        fail(path, "kintree_table", "has no root: the first joint's parent must be -1")
    if not all(0 <= parent < joint for joint, parent in enumerate(parents) if joint):
        fail(path, "kintree_table", "is no tree: a parent must come before its child (a cycle?)")
    return np.array([-1, *parents[1:]], dtype=np.int64)
