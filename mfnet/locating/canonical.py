"""MediaPipe's own mean face, out of the asset with its networks: what a found embedding must be a smooth warp of."""

import numpy as np
from scipy.interpolate import RBFInterpolator

from mfnet import assets
from mfnet.errors import InputError
from mfnet.io.zips import read_member
from mfnet.landmarks.mediapipe.networks import TASK

N_CANONICAL = 468
"""Points of the skin; the mean face has no irises."""
_MEMBER, _MAX_BYTES = "geometry_pipeline_metadata_landmarks.binarypb", 1 << 20
_MESH, _VERTICES = 1, 3
"""Fields of the protocol buffer: the mesh in the metadata, the float32 of its vertices, five each (x, y, z, u, v)."""
SMOOTH = 5.0
"""Smoothing of the warp, for places in centimetres."""
LEAST_OFF, TIMES_MEDIAN = 0.008, 3.0
"""A point farther from the warp than so many metres, and so many times the median, is no inlier."""


def canonical_face() -> np.ndarray:
    """[468, 3] centimetres, y up, z out of the face. Raises InputError where the asset is missing or damaged."""
    content = read_member(assets.read(TASK), _MEMBER, _MAX_BYTES, TASK)
    meshes = [value for number, value in _fields(content) if number == _MESH and isinstance(value, bytes)]
    inside = [pair for mesh in meshes for pair in _fields(mesh) if pair[0] == _VERTICES]
    packed = b"".join(value for _, value in inside if isinstance(value, bytes))
    if len(packed) != N_CANONICAL * 5 * 4:
        raise InputError(f"{TASK}: {_MEMBER} does not hold the {N_CANONICAL} points of the mean face")
    return np.frombuffer(packed, "<f4").reshape(N_CANONICAL, 5)[:, :3].astype(np.float64)


def warped(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean face bent to places [468, 3] (metres; NaN: unknown) -> where it is then [468, 3], and inliers bool.

    A thin-plate spline through the inliers, which are found anew four times.
    """
    face = canonical_face()
    known = np.isfinite(places[:, 0])
    inlier = known.copy()
    bent = places
    for _ in range(4):
        spline = RBFInterpolator(face[inlier], places[inlier], kernel="thin_plate_spline", smoothing=SMOOTH, degree=1)
        bent = spline(face)
        off = np.where(known, np.linalg.norm(np.nan_to_num(places) - bent, axis=1), np.inf)
        inlier = np.less(off, max(LEAST_OFF, TIMES_MEDIAN * float(np.median(off[known]))))
    return bent, inlier


def _fields(content: bytes) -> list[tuple[int, int | bytes]]:
    """(number, value) of a protocol buffer's fields, one level deep."""
    found: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(content, at)
            found.append((number, value))
            continue
        sizes = {1: 8, 5: 4}
        if kind == 2:
            size, at = _varint(content, at)
        elif kind in sizes:
            size = sizes[kind]
        else:
            raise InputError(f"{TASK}: {_MEMBER} is damaged (a field of kind {kind})")
        if at + size > len(content):
            raise InputError(f"{TASK}: {_MEMBER} is damaged (it ends within a field)")
        found.append((number, content[at : at + size]))
        at += size
    return found


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where the next thing begins."""
    value = shift = 0
    while at < len(content):
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
    raise InputError(f"{TASK}: {_MEMBER} is damaged (it ends within a number)")
