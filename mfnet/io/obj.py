"""Wavefront OBJ: the one reader and the one writer of triangle meshes with or without texture coordinates.

Indices are 0-based here and 1-based in the file. Groups, normals and materials are skipped when read.
"""

import io
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfnet.io.files import atomic_path

VERTEX, FACE = b"vf"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # editors put it before the first keyword
_MAX_LINE = 1 << 16  # bytes, of a face with thousands of corners
_MAX_LINES = 1 << 24
_MAX_ELEMENTS = 1 << 22
_MAX_COLUMNS = 16  # numbers in a line of a regular file
_MAX_INDEX = 1 << 31


@dataclass(frozen=True)
class ObjMesh:
    """The triangles of an OBJ file, in its order."""

    vertices: np.ndarray
    """[V, 3] float64."""
    faces: np.ndarray
    """[F, 3] int64 into vertices."""
    uv: np.ndarray | None = None
    """[T, 2] float64, v up; None for geometry alone."""
    uv_faces: np.ndarray | None = None
    """[F, 3] int64 into uv."""


def parse_obj(content: bytes) -> ObjMesh:
    """Vertices and triangles of an OBJ file's bytes, without texture coordinates. Polygons are cut into fans.

    Indices are not held against the number of vertices. Raises ValueError that names the line and what is wrong, also
    where there are more than 4 million vertices or triangles.
    """
    content = _checked(content)
    return _parse_regular(content) or _parse_by_line(content, with_uv=False, most=_MAX_ELEMENTS)


def parse_obj_with_uv(content: bytes, most: int) -> ObjMesh:
    """The same with texture coordinates, which every corner of a face must name.

    most: vertices, texture coordinates or triangles that a file may have. Raises ValueError that names the line.
    """
    return _parse_by_line(_checked(content), with_uv=True, most=most)


def _checked(content: bytes) -> bytes:
    """The content without a byte order mark. Every line costs memory, also an empty one, so their number is bounded."""
    if content.count(b"\n") > _MAX_LINES:
        raise ValueError(f"more than {_MAX_LINES} lines")
    return content.removeprefix(_BYTE_ORDER_MARK)


def write_obj(
    path: str | Path, mesh: ObjMesh, decimals: int = 7, uv_format: str = "%.6f", material: tuple[str, str] | None = None
) -> None:
    """Write a mesh, atomically; equal meshes give equal bytes.

    decimals: of the vertices; uv_format: of a texture coordinate; material: name of the MTL file and of the material
    in it.
    """
    lines: list[str] = [f"mtllib {material[0]}\n"] if material else []
    lines += _rows("v" + f" %.{decimals}f" * 3, mesh.vertices)
    if mesh.uv is None or mesh.uv_faces is None:
        corners = np.asarray(mesh.faces)
    else:
        lines += _rows(f"vt {uv_format} {uv_format}", mesh.uv)
        corners = np.stack([mesh.faces, mesh.uv_faces], -1).reshape(-1, 6)
    lines += [f"usemtl {material[1]}\n"] if material else []
    lines += _rows("f %d %d %d" if corners.shape[1] == 3 else "f %d/%d %d/%d %d/%d", corners + 1)
    with atomic_path(path) as beside:
        beside.write_text("".join(lines), encoding="utf-8", newline="\n")


def _rows(form: str, table: np.ndarray) -> Iterable[str]:
    return (form % tuple(row) + "\n" for row in np.asarray(table).tolist())


# ------------------------------------------------------------------------------------------ regular files, vectorised
def _parse_regular(content: bytes) -> ObjMesh | None:
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
    if vertices is None or faces is None or vertices.shape[1] < 3 or faces.shape[1] not in (3, 4):
        return None
    if faces.min() < 1 or faces.max() >= _MAX_INDEX:  # a larger one is clipped, and the slow way names its line
        return None
    fans = [faces] if faces.shape[1] == 3 else [faces[:, [0, 1, 2]], faces[:, [2, 3, 0]]]
    return ObjMesh(np.ascontiguousarray(vertices[:, :3]), np.concatenate(fans) - 1)


def _table(
    text: np.ndarray, starts: np.ndarray, lengths: np.ndarray, blanks: np.ndarray, chosen: np.ndarray, dtype: type
) -> np.ndarray | None:
    """The numbers of the chosen lines as one table; None unless every line holds as many, one space before each."""
    if not chosen.any():
        return None
    columns = blanks[chosen]
    if columns.min() != columns.max() or columns[0] > _MAX_COLUMNS:
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


# ------------------------------------------------------------------------------------------ any legal file, by line
def _parse_by_line(content: bytes, with_uv: bool, most: int) -> ObjMesh:
    """Any legal file: uneven spacing, mixed polygons, negative indices (counted back from the last vertex so far)."""
    vertices: list[list[float]] = []
    uv: list[list[float]] = []
    faces: list[list[int]] = []
    uv_faces: list[list[int]] = []
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\\\n", b" ")
    for number, line in enumerate(io.BytesIO(lines), 1):
        where = f"line {number}"
        if line.startswith(b"#"):
            continue
        if len(line) > _MAX_LINE:
            raise ValueError(f"{where} is longer than {_MAX_LINE} bytes")
        kind, *words = line.split(b"#")[0].split() or [b""]
        if kind not in (b"v", b"f") and not (with_uv and kind == b"vt"):
            continue
        least = 2 if kind == b"vt" else 3
        if len(words) < least:
            raise ValueError(f"{where}: {len(words)} fields, at least {least} expected")
        if kind == b"v":
            vertices.append(_floats(words[:3], where))
        elif kind == b"vt":
            uv.append(_floats(words[:2], where))
        else:
            corners = [word.split(b"/") for word in words]
            faces += _fan(_indices([corner[0] for corner in corners], len(vertices), where))
            if with_uv:
                if not all(len(corner) > 1 and corner[1] for corner in corners):
                    raise ValueError(f"{where}: a face corner has no texture coordinate")
                uv_faces += _fan(_indices([corner[1] for corner in corners], len(uv), where))
        if max(len(vertices), len(uv), len(faces)) > most:
            raise ValueError(f"{where}: more than {most} vertices, texture coordinates or triangles")
    return ObjMesh(
        np.array(vertices, np.float64).reshape(-1, 3),
        np.array(faces, np.int64).reshape(-1, 3),
        np.array(uv, np.float64).reshape(-1, 2) if with_uv else None,
        np.array(uv_faces, np.int64).reshape(-1, 3) if with_uv else None,
    )


def _floats(words: list[bytes], where: str) -> list[float]:
    try:
        return [float(word) for word in words]
    except ValueError:
        raise ValueError(f"{where}: not numbers: {_short(words)}") from None


def _indices(words: list[bytes], count: int, where: str) -> list[int]:
    """0-based indices of 1-based ones, or of negative ones counted back from `count`."""
    try:
        numbers = [int(word) for word in words]
    except ValueError:
        raise ValueError(f"{where}: not numbers: {_short(words)}") from None
    if 0 in numbers:
        raise ValueError(f"{where}: vertex 0; OBJ counts from 1")
    if max(map(abs, numbers)) >= _MAX_INDEX:
        raise ValueError(f"{where}: an index beyond any file's: {_short(words)}")
    return [number - 1 if number > 0 else count + number for number in numbers]


def _short(words: list[bytes]) -> str:
    return repr(b" ".join(words)[:60].decode("latin-1"))


def _fan(corners: list[int]) -> list[list[int]]:
    return [[corners[0], corners[k], corners[k + 1]] for k in range(1, len(corners) - 1)]
