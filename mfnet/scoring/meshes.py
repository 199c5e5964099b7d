"""Reading predicted and ground-truth meshes: whatever is wrong with a file becomes a status and a reason."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfnet.errors import InputError
from mfnet.io.files import MissingFile, TooLarge, read_bytes
from mfnet.io.obj import parse_obj
from mfnet.io.ply import parse_ply

MAX_BYTES = 1 << 28
"""Largest mesh file that is read, bytes: it bounds the memory of a worker."""


class ItemError(Exception):
    """An item that has no score: `status` is the word of the table's column, `reason` one line for a person."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(status, reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Mesh:
    """Triangles in whatever space and unit the context says."""

    vertices: np.ndarray
    """[V, 3] float64."""
    faces: np.ndarray
    """[F, 3] int64."""

    def moved(self, vertices: np.ndarray) -> "Mesh":
        """The same triangles over other vertex positions."""
        return Mesh(vertices, self.faces)

    def flipped(self) -> "Mesh":
        """The same surface with the winding of every triangle reversed."""
        return Mesh(self.vertices, self.faces[:, [1, 0, 2]])

    @property
    def unreferenced(self) -> int:
        """Number of vertices that no triangle uses."""
        used = np.zeros(len(self.vertices), bool)
        used[self.faces] = True
        return int(len(used) - used.sum())


def read_content(path: Path, limit: int) -> bytes:
    """The bytes of a file. Raises ItemError missing_file, too_large (more than `limit` bytes) or unreadable."""
    try:
        return read_bytes(path, limit)
    except InputError as error:
        status = {MissingFile: "missing_file", TooLarge: "too_large"}.get(type(error), "unreadable")
        raise ItemError(status, str(error)) from None


def read_mesh(path: str | Path) -> Mesh:
    """Read an OBJ (`mfnet.io.obj`) or a PLY. Vertices keep the file's order and number.

    Polygons are cut into fans. Raises ItemError with status missing_file, too_large, unreadable, empty_mesh or
    nan_vertices. Formats whose triangles share no vertices (STL) or that hold scenes are refused.
    """
    path = Path(path)
    parse = {".obj": _parse_obj, ".ply": parse_ply}.get(path.suffix.lower())
    content = read_content(path, MAX_BYTES)
    if parse is None:
        raise ItemError("unreadable", f"{path}: meshes are read from .obj and .ply; convert it")
    try:
        vertices, faces = parse(content)
    except ValueError as error:
        raise ItemError("unreadable", f"{path}: {error}") from None
    return _checked(path, vertices, faces)


def _checked(path: Path, vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    if len(vertices) == 0 or len(faces) == 0:
        raise ItemError("empty_mesh", f"{path}: {len(vertices)} vertices, {len(faces)} faces")
    if faces.min() < 0 or faces.max() >= len(vertices):
        wrong = int(faces.max()) + 1 if faces.min() >= 0 else int(faces.min()) + 1
        raise ItemError("unreadable", f"{path}: a face names vertex {wrong} of {len(vertices)}")
    unusable = ~np.isfinite(vertices).all(axis=1)
    if unusable.any():
        raise ItemError("nan_vertices", f"{path}: {int(unusable.sum())} of {len(vertices)} vertices are not finite")
    return Mesh(vertices, faces)


def _parse_obj(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    mesh = parse_obj(content)
    return mesh.vertices, mesh.faces
