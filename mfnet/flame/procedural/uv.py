"""The UV atlas: the skin unrolled around the face's axis, with islands for back of the head, mouth pocket and eyeballs.

The sockets fill the gaps between the lids.
"""

from collections.abc import Callable

import numpy as np

from mfnet.flame.procedural.anatomy import EYE, MOUTH_CORNER, profile
from mfnet.flame.procedural.topology import EYEBALL, MOUTH, SKIN, SOCKET, HeadMesh

Disc = tuple[tuple[float, float], float]
"""Centre and radius."""
BACK = 2.15
"""Angle (radians) from the face's axis beyond which the skin goes to an island of its own."""
SKIN_DISC = ((0.5, 0.5), 0.470)
SKIN_PROFILE = profile({0.0: 0.0, 0.5: 0.38, 1.0: 0.72, 1.4: 0.86, 1.8: 0.94, 2.4: 1.04})
"""Share of the radius at an angle from the face's axis: steep in the middle, so that the face gets most texels."""
BACK_DISC = ((0.905, 0.095), 0.088)
EYE_DISCS = {True: ((0.905, 0.905), 0.088), False: ((0.095, 0.905), 0.088)}
MOUTH_DISC = ((0.095, 0.095), 0.088)


def _azimuthal(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angle from +z [...] and unit vectors [..., 2] in the x-y plane; zeros at the poles, where there is none."""
    planar = directions[..., :2]
    sine = np.sqrt((planar**2).sum(-1))
    angle = np.arctan2(sine, directions[..., 2])
    return angle, planar / np.maximum(sine, 1e-9)[..., None]


def _unroll(directions: np.ndarray, disc: Disc, share: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Place `directions` [V, 3] in a disc (centre, radius): `share(angle)` of its radius from the centre."""
    angle, planar = _azimuthal(directions)
    return np.asarray(disc[0]) + disc[1] * (share(angle)[:, None] * planar)


def _opened(plane: np.ndarray, directions: np.ndarray, faces: np.ndarray, disc: Disc) -> tuple[np.ndarray, np.ndarray]:
    """Texture coordinates and faces [F, 3] of a whole sphere: the pole behind gets a point in each of its faces."""
    used, local = np.unique(faces, return_inverse=True)
    local, uv = local.reshape(faces.shape), plane[used]
    pole = int(directions[used, 2].argmin())
    rows, columns = np.nonzero(local == pole)
    others = np.stack([uv[local[rows, (columns + k) % 3]] for k in (1, 2)]).mean(0) - np.asarray(disc[0])
    local[rows, columns] = len(uv) + np.arange(len(rows))
    rim = np.asarray(disc[0]) + disc[1] * others / np.sqrt((others**2).sum(-1, keepdims=True))
    return np.concatenate([uv, rim]), local


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.sqrt((v**2).sum(-1, keepdims=True)), 1e-12)


def _pocket(mesh: HeadMesh) -> np.ndarray:
    """Plane coordinates [V, 2] of the mouth's pocket as seen through wide open lips: the lips are the unit circle."""
    along = np.clip(mesh.vertices[:, 0] / MOUTH_CORNER, -1.0, 1.0)
    rim = np.column_stack([along, mesh.side * np.sqrt(1.0 - along**2)])
    return np.where((mesh.part == MOUTH)[:, None], mesh.directions[:, :2], rim)


def make_uv(mesh: HeadMesh) -> tuple[np.ndarray, np.ndarray]:
    """Texture coordinates [T, 2] in 0..1 (v up) and their faces [F, 3], in the order of the mesh's faces."""
    part = mesh.part[mesh.faces].max(1)
    left = mesh.vertices[mesh.faces].mean(1)[:, 0] > 0.0
    outside = (part == SKIN) | (part == SOCKET)
    back = outside & (_azimuthal(mesh.directions)[0][mesh.faces].min(1) > BACK)
    uv_faces = np.zeros_like(mesh.faces)
    blocks, count = [], 0

    def place(select: np.ndarray, plane: np.ndarray) -> None:
        nonlocal count
        used, local = np.unique(mesh.faces[select], return_inverse=True)
        uv_faces[select] = local.reshape(-1, 3) + count
        blocks.append(plane[used])
        count += len(used)

    place(outside & ~back, _unroll(mesh.directions, SKIN_DISC, SKIN_PROFILE))
    behind = mesh.directions * np.array([-1.0, 1.0, -1.0])
    place(back, _unroll(behind, BACK_DISC, lambda angle: angle / (np.pi - BACK)))
    place(part == MOUTH, MOUTH_DISC[0] + MOUTH_DISC[1] * _pocket(mesh))
    for side, disc in EYE_DISCS.items():
        around = _unit(mesh.vertices - EYE * np.array([1.0 if side else -1.0, 1.0, 1.0]))
        select = (part == EYEBALL) & (left == side)
        uv, faces = _opened(_unroll(around, disc, lambda angle: angle / np.pi), around, mesh.faces[select], disc)
        uv_faces[select] = faces + count
        blocks.append(uv)
        count += len(uv)
    return np.concatenate(blocks), uv_faces
