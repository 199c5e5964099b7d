"""The OBJ template that carries a head's UV layout."""

from pathlib import Path

import numpy as np

from mfnet.errors import InputError, fail
from mfnet.flame.arrays import float_array, index_array
from mfnet.flame.head import MAX_FACES, MAX_VERTICES, HeadArrays
from mfnet.io.obj import ObjMesh, parse_obj_with_uv, write_obj

_MAX_BYTES = 64 << 20


def read_template(path: str | Path, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """UV [T, 2] (0..1, v up) and uv_faces [F, 3] of an OBJ whose faces are `faces` [F, 3], in the same order.

    Other statements (materials, normals, groups) are skipped. Raises InputError naming the file and the line.
    """
    path = Path(path)
    mesh = _read(path)
    if not np.array_equal(mesh.faces, faces):
        raise InputError(
            f"{path}: its {len(mesh.faces)} triangles over {len(mesh.vertices)} vertices are not the model's "
            f"{len(faces)} faces in the same order; give the template that belongs to the model"
        )
    return check_uv({"uv": mesh.uv, "uv_faces": mesh.uv_faces}, len(faces), path)


def write_template(head: HeadArrays, path: str | Path) -> None:
    """Write the average head as an OBJ with UV (metres, v up), faces in the order of the model's."""
    write_obj(path, ObjMesh(head.v_template, head.faces, head.uv, head.uv_faces), uv_format="%.9g")


def check_uv(fields: dict, n_faces: int, path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """UV and uv_faces out of `fields`, checked."""
    uv = float_array(fields, "uv", (None, 2), path).astype(np.float32)
    if len(uv) > 4 * MAX_VERTICES:
        fail(path, "uv", f"has {len(uv)} texture vertices, more than {4 * MAX_VERTICES}")
    if len(uv) and (uv.min() < -1e-4 or uv.max() > 1 + 1e-4):
        fail(path, "uv", "leaves 0..1: tiled textures are not supported")
    return uv.clip(0, 1), index_array(fields, "uv_faces", (n_faces, 3), len(uv), path)


def _read(path: Path) -> ObjMesh:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of the OBJ template (head_template.obj)")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, which no head template is")
    try:
        mesh = parse_obj_with_uv(path.read_bytes(), most=MAX_FACES)
    except ValueError as error:
        raise InputError(f"{path}: {error}; is this the OBJ template?") from None
    if not len(mesh.faces):
        raise InputError(f"{path}: no faces with texture coordinates; is this the OBJ template?")
    return mesh
