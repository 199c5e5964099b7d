"""Reading predicted and ground-truth meshes: whatever is wrong with a file becomes a status and a reason."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MAX_BYTES = 2**30
"""Largest mesh file that is read, bytes: it bounds the memory of a worker."""

VERTEX, FACE = b"vf"


class ItemError(Exception):
    """An item that has no score: `status` is the word of the table's column, `reason` one line for a person."""

    def __init__(self, status: str, reason: str):
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
    """Read an OBJ (own reader) or any other format that trimesh knows. Vertices keep the file's order and number.

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
        vertices, faces = read_obj(path.read_bytes()) if path.suffix.lower() == ".obj" else _read_other(path)
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


def read_obj(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] float64 and 0-based triangles [F, 3] int64 of an OBJ file's bytes.

    Raises ValueError that names the line or field. Texture coordinates, normals, groups and materials are skipped.
    """
    return _read_regular_obj(content) or _read_obj_by_line(content.replace(b"\\\n", b" ").splitlines())


def _read_regular_obj(content: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    """The fast way for a file of evenly spaced lines with positive indices; None for any other."""
    if len(content) < 2 or b"\\\n" in content:
        return None
    text = np.frombuffer(content, np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(text[:-2] == ord("\n")) + 1])
    first, second = text[starts], text[starts + 1]
    if np.isin(first, (ord(" "), ord("\t"))).any() or (np.isin(first, (VERTEX, FACE)) & (second == ord("\t"))).any():
        return None
    lengths = np.diff(np.append(starts, len(text)))
    blanks = np.add.reduceat(text == ord(" "), starts, dtype=np.int32)
    chosen = (((first == key) & (second == ord(" "))) for key in (VERTEX, FACE))
    vertices, faces = (
        _table(text, starts, lengths, blanks, lines, dtype)
        for lines, dtype in zip(chosen, (np.float64, np.int64), strict=True)
    )
    if vertices is None or faces is None or vertices.shape[1] < 3 or faces.shape[1] not in (3, 4) or faces.min() < 1:
        return None
    fans = [faces] if faces.shape[1] == 3 else [faces[:, [0, 1, 2]], faces[:, [2, 3, 0]]]
    return np.ascontiguousarray(vertices[:, :3]), np.concatenate(fans) - 1


def _table(
    text: np.ndarray, starts: np.ndarray, lengths: np.ndarray, blanks: np.ndarray, chosen: np.ndarray, dtype: type
) -> np.ndarray | None:
    """The numbers of the chosen lines as one table; None unless every line holds as many, one space before each."""
    if not chosen.any():
        return None
    columns = blanks[chosen]
    if columns.min() != columns.max():
        return None
    blanked = text.copy()
    blanked[starts] = ord(" ")  # the keyword; whatever blanks are between numbers, fromstring skips
    numbers = blanked[np.repeat(chosen, lengths)].tobytes()
    if b"/" in numbers:
        numbers = re.sub(rb"/\S*", b"", numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy's word for text that stops being numbers
        try:
            values = np.fromstring(numbers, dtype, sep=" ")
        except ValueError:
            return None
    shape = int(chosen.sum()), int(columns[0])
    return values.reshape(shape) if values.size == shape[0] * shape[1] else None


def _read_obj_by_line(lines: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The same for any legal file: uneven spacing, mixed polygons, negative indices (counted from the last vertex)."""
    vertices: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    for number, line in enumerate(lines, 1):
        fields = line.split(b"#")[0].split()
        if not fields or fields[0] not in (b"v", b"f"):
            continue
        if len(fields) < 4:
            raise ValueError(f"line {number}: {len(fields) - 1} fields, at least 3 expected")
        try:
            if fields[0] == b"v":
                vertices.append([float(field) for field in fields[1:4]])
                continue
            corners = [int(field.split(b"/")[0]) for field in fields[1:]]
        except ValueError:
            raise ValueError(f"line {number}: not numbers: {line[:60].decode('latin-1')!r}") from None
        if 0 in corners:
            raise ValueError(f"line {number}: vertex 0; OBJ counts from 1")
        corners = [corner - 1 if corner > 0 else len(vertices) + corner for corner in corners]
        faces.extend((corners[0], corners[k], corners[k + 1]) for k in range(1, len(corners) - 1))
    return np.array(vertices, np.float64).reshape(-1, 3), np.array(faces, np.int64).reshape(-1, 3)


def _read_other(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import trimesh

    try:
        mesh = trimesh.load(path, process=False, maintain_order=True, force="mesh")
        return np.array(mesh.vertices, np.float64).reshape(-1, 3), np.array(mesh.faces, np.int64).reshape(-1, 3)
    except Exception as error:  # trimesh's readers raise whatever a broken file makes them trip over
        raise ValueError(f"trimesh cannot read it: {type(error).__name__}: {error}") from None
