"""Stanford PLY: triangles read by trimesh, once the header was held against the bytes that are there."""

import io
import re

import numpy as np

_MAX_HEADER = 1 << 14
_MAX_BYTES = 1 << 26
_END = re.compile(rb"\nend_header\r?\n")
_ELEMENT = re.compile(rb"^element[ \t]+(\w+)[ \t]+(\d{1,10})[ \t]*\r?$", re.MULTILINE)
_NEEDED, _REFUSED = {b"vertex", b"face"}, {b"edge", b"tristrips"}


def parse_ply(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] float64 and triangles [F, 3] int64 of a PLY file's bytes, in its order; quads are cut in two.

    Texture coordinates and colours are left out, and no file that it names is opened. Indices are not held against the
    number of vertices. Raises ValueError that says what is wrong.
    """
    from trimesh.exchange.ply import load_ply  # late: slow to import

    _check_header(content)
    try:
        parts = load_ply(io.BytesIO(content), fix_texture=False, skip_materials=True)
        vertices = np.array(parts.get("vertices", ()), np.float64).reshape(-1, 3)
        faces = np.array(parts.get("faces", ()))
    except Exception as error:  # it raises whatever a broken file makes it trip over
        raise ValueError(f"not a whole PLY: {type(error).__name__}: {' '.join(str(error).split())[:100]}") from None
    if faces.size == 0:
        return vertices, np.empty((0, 3), np.int64)
    if faces.ndim != 2 or faces.shape[1] not in (3, 4) or faces.dtype.kind not in "iu":
        raise ValueError("faces are neither triangles nor quads")
    faces = faces.astype(np.int64)
    return vertices, faces if faces.shape[1] == 3 else faces[:, [0, 1, 2, 2, 3, 0]].reshape(-1, 3)


def _check_header(content: bytes) -> None:
    if len(content) > _MAX_BYTES:
        raise ValueError(f"larger than {_MAX_BYTES >> 20} MiB; save it as OBJ")
    end = _END.search(content[:_MAX_HEADER])
    if not content.startswith(b"ply") or end is None:
        raise ValueError("not a PLY file: its header has no beginning or no end")
    counts = dict(_ELEMENT.findall(content[: end.start()]))
    if not counts.keys() >= _NEEDED or counts.keys() & _REFUSED:
        raise ValueError("not a PLY of vertices and faces")
    if sum(map(int, counts.values())) > len(content) - end.end():
        raise ValueError("the header declares more than the file holds")
