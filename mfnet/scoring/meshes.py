"""Reading predicted and ground-truth meshes: whatever is wrong with a file becomes a status and a reason."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from mfnet.io.obj import parse_obj

MAX_BYTES = 2**30
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


def read_mesh(path: str | Path) -> Mesh:
    """Read an OBJ (`mfnet.io.obj`) or any other format that trimesh knows. Vertices keep the file's order and number.

    Polygons are cut into fans. Raises ItemError with status missing_file, too_large, unreadable, empty_mesh or
    nan_vertices.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except OSError:
        raise ItemError("missing_file", f"{path}: no such file") from None
    if size > MAX_BYTES:
        raise ItemError("too_large", f"{path}: {size} bytes, at most {MAX_BYTES} are read")
    try:
        vertices, faces = _read_obj(path) if path.suffix.lower() == ".obj" else _read_other(path)
    except OSError as error:
        raise ItemError("unreadable", f"{path}: {error.strerror or error}") from None
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


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    mesh = parse_obj(path.read_bytes())
    return mesh.vertices, mesh.faces


def _read_other(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import trimesh

    try:
        mesh = cast(trimesh.Trimesh, trimesh.load(path, process=False, maintain_order=True, force="mesh"))
        return np.array(mesh.vertices, np.float64).reshape(-1, 3), np.array(mesh.faces, np.int64).reshape(-1, 3)
    except Exception as error:  # trimesh's readers raise whatever a broken file makes them trip over
        raise ValueError(f"trimesh cannot read it: {type(error).__name__}: {error}") from None
