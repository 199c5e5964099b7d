"""The OBJ template that carries a head's UV layout."""

from pathlib import Path

import numpy as np

from mfnet.errors import InputError, fail
from mfnet.flame.head import MAX_FACES, MAX_VERTICES, float_array, index_array

_MAX_BYTES = 64 << 20
_MAX_LINE = 512


def read_template(path: str | Path, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """UV [T, 2] (0..1, v up) and uv_faces [F, 3] of an OBJ whose faces are `faces` [F, 3], in the same order.

    Other statements (materials, normals, groups) are skipped. Raises InputError naming the file and the line.
    """
    path = Path(path)
    vertices, uv, corners = _parse(path)
    triangles, uv_faces = corners[..., 0], corners[..., 1]
    if triangles.shape != faces.shape or not np.array_equal(triangles, faces):
        raise InputError(
            f"{path}: its {len(triangles)} faces over {vertices} vertices are not the model's {len(faces)} faces in "
            "the same order; give the template that belongs to the model"
        )
    return check_uv({"uv": uv, "uv_faces": uv_faces}, len(faces), path)


def check_uv(fields: dict, n_faces: int, path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """UV and uv_faces out of `fields`, checked."""
    uv = float_array(fields, "uv", (None, 2), path).astype(np.float32)
    if len(uv) > 4 * MAX_VERTICES:
        fail(path, "uv", f"has {len(uv)} texture vertices, more than {4 * MAX_VERTICES}")
    if len(uv) and (uv.min() < -1e-4 or uv.max() > 1 + 1e-4):
        fail(path, "uv", "leaves 0..1: tiled textures are not supported")
    return uv.clip(0, 1), index_array(fields, "uv_faces", (n_faces, 3), len(uv), path)


def _parse(path: Path) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of vertices, UV [T, 2] float32, corners [F, 3, 2] = (vertex, uv) counted from 0."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of the OBJ template (head_template.obj)")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, which no head template is")
    vertices, uv, corners = 0, [], []
    with open(path, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(_MAX_LINE), ""), 1):
            if len(line) == _MAX_LINE:
                raise InputError(f"{path}: line {number} is longer than any line of a head template")
            kind, _, rest = line.partition(" ")
            try:
                if kind == "v":
                    vertices += 1
                elif kind == "vt":
                    uv.append([float(word) for word in rest.split()[:2]])
                elif kind == "f":
                    corners.append([_corner(word) for word in rest.split()])
            except ValueError as error:
                raise InputError(f"{path}: line {number} is not a valid '{kind}' statement ({error})") from None
            if max(vertices, len(uv) // 4) > MAX_VERTICES or len(corners) > MAX_FACES:
                raise InputError(f"{path}: line {number}: more vertices or faces than a head template has")
    if any(len(corner) != 3 for corner in corners) or any(len(point) != 2 for point in uv):
        raise InputError(f"{path}: every face must be a triangle and every vt a pair")
    if not uv or not corners:
        raise InputError(f"{path}: no faces with texture coordinates; is this the OBJ template?")
    return vertices, np.array(uv, np.float32), np.array(corners, np.int64)


def _corner(word: str) -> tuple[int, int]:
    """'12/7' or '12/7/3' -> (11, 6)."""
    parts = word.split("/")
    if len(parts) < 2 or not parts[1]:
        raise ValueError(f"face corner {word[:20]!r} has no texture coordinate")
    vertex, texture = int(parts[0]), int(parts[1])
    if not (0 < vertex < 1 << 31 and 0 < texture < 1 << 31):
        raise ValueError(f"face corner {word[:20]!r} is not counted from 1")
    return vertex - 1, texture - 1
