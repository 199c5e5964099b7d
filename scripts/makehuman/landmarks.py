"""The 68 iBUG landmarks on the head, the contour walking with the yaw.

`landmarks.csv` has the left half's points on the base mesh in millimetres. They were found once: a face mesh network
on 24 shaded renders of random heads, carried back to the surface, medians; `front8` .. `front16` are where the contour
may slide to. Here they become points of triangles, and their images on the right half the other ones.
"""

import csv
from pathlib import Path

import numpy as np

from mfnet.flame.head import LandmarkEmbedding
from mfnet.landmarks.ibug import MIRRORED
from scripts.makehuman.mesh import HeadMesh
from scripts.makehuman.rings import lid_ring

TABLE = Path(__file__).with_name("landmarks.csv")
EYE = range(42, 48)
"""On the front edge of the lids' margin: vertices."""
LIPS = (51, 52, 53, 54, 55, 56, 57, 62, 63, 64, 65, 66)
"""Vertices too, so that the points of upper and lower lip part with the lips."""
SAMPLES = 81
MAX_YAW = 39
OUTWARD = ((0, -1), (0.25, -0.97), (0.5, -0.87), (0.7, -0.71), (0.87, -0.5), (0.97, -0.25), (1, 0), (1, 0), (1, 0))
"""Image direction in which each contour point is the outermost of its curve."""
INSIDE = (0.02, 0.055)
"""The curves' common origin: above and behind the nose's tip, metres."""
Points = tuple[np.ndarray, np.ndarray]
"""Faces [N] and barycentric weights [N, 3]."""


def make_landmarks(mesh: HeadMesh, vertices: np.ndarray) -> LandmarkEmbedding:
    """The embedding on the head; `vertices` [V, 3] of the base mesh."""
    with open(TABLE, newline="") as file:
        table = {
            row["name"]: np.array([float(row[axis] or "nan") for axis in "xyz"]) / 1e3 for row in csv.DictReader(file)
        }
    half = len(mesh.faces) // 2
    skin = np.flatnonzero(np.isin(mesh.room[:half], ("face", "neck")))
    left = {
        int(name): _place(mesh, vertices, skin, int(name), point) for name, point in table.items() if name.isdigit()
    }
    sides = left | {int(MIRRORED[k]): (f + half, w[::-1]) for k, (f, w) in left.items() if MIRRORED[k] not in left}
    static = [np.array([sides[k][i] for k in range(17, 68)]) for i in (0, 1)]
    dynamic = _contour(mesh.faces, vertices, skin, table)
    full = [np.concatenate([walking[0], still]) for walking, still in zip(dynamic, static, strict=True)]
    return LandmarkEmbedding(*static, *dynamic, *full)


def _place(
    mesh: HeadMesh, vertices: np.ndarray, skin: np.ndarray, name: int, point: np.ndarray
) -> tuple[int, np.ndarray]:
    """Face and weights of one of the left half's points, a vertex where the landmark is one."""
    if name not in EYE and name not in LIPS:
        faces, weights = closest(vertices[mesh.faces[skin]], point[None])
        row = int(skin[faces[0]])
        if point[0] == 0:
            weights = weights * (mesh.faces[row] < mesh.n_middle)
        return row, weights[0] / weights.sum()
    among = np.unique(lid_ring(mesh) if name in EYE else mesh.faces[skin])
    if point[0] == 0:
        among = among[among < mesh.n_middle]
    vertex = among[np.linalg.norm(vertices[among] - point, axis=1).argmin()]
    row = skin[(mesh.faces[skin] == vertex).any(1)][0]
    return int(row), (mesh.faces[row] == vertex).astype(float)


def closest(triangles: np.ndarray, points: np.ndarray) -> Points:
    """Nearest points of triangles [F, 3, 3] to `points` [N, 3]."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    found = []
    for point in points:
        options = [_inside(a, b, c, point)] + [_along(triangles, i, point) for i in range(3)]
        weights = np.stack(options)  # [4, F, 3]
        far = np.linalg.norm((weights[..., None] * triangles).sum(2) - point, axis=2)
        far[(weights < 0).any(2)] = np.inf
        option, face = np.unravel_index(np.round(far, 9).argmin(), far.shape)
        found.append((face, np.where(weights[option, face] < 1e-6, 0, weights[option, face])))
    faces, weights = np.array([face for face, _ in found]), np.array([weight for _, weight in found])
    return faces, weights / weights.sum(1, keepdims=True)


def _inside(a: np.ndarray, b: np.ndarray, c: np.ndarray, point: np.ndarray) -> np.ndarray:
    normal = np.cross(b - a, c - a)
    area = (normal**2).sum(1)
    wb = (np.cross(point - a, c - a) * normal).sum(1) / area
    wc = (np.cross(b - a, point - a) * normal).sum(1) / area
    return np.stack([1 - wb - wc, wb, wc], 1)


def _along(triangles: np.ndarray, corner: int, point: np.ndarray) -> np.ndarray:
    start, end = triangles[:, corner], triangles[:, (corner + 1) % 3]
    share = ((point - start) * (end - start)).sum(1) / ((end - start) ** 2).sum(1)
    weights = np.zeros((len(triangles), 3))
    weights[:, (corner + 1) % 3] = np.clip(share, 0, 1)
    weights[:, corner] = 1 - weights[:, (corner + 1) % 3]
    return weights


def _contour(faces: np.ndarray, vertices: np.ndarray, skin: np.ndarray, table: dict[str, np.ndarray]) -> Points:
    """Faces [79, 17] and weights [79, 17, 3], a row a degree of yaw: 0 .. +39, then -1 .. -39 (DECA's table).

    A point is where its curve across the cheek reaches the outline of the head so turned; on the side that turns
    towards the camera it rests on the jaw's edge (landmark marching, Zhu et al. 2015).
    """
    triangles, half = vertices[faces[skin]], len(faces) // 2
    starts = np.array([[*table[f"front{k}"][:2], -1.0] for k in range(8, 17)])
    front = _meet(triangles, starts, np.tile([0.0, 0, 1], (9, 1)), np.full(9, 1.2))
    front = (triangles[front[0]] * front[1][..., None]).sum(1)
    origin = np.array([0, table["30"][1] + INSIDE[0], table["30"][2] - 2 * INSIDE[1]])
    jaw = np.array([table[str(k)] for k in range(8, 17)])
    share = np.linspace(0, 1, SAMPLES)[None, :, None]
    arcs = _unit(_unit(front - origin)[:, None] * (1 - share) + _unit(jaw - origin)[:, None] * share)
    between = front[:, None] * (1 - share) + jaw[:, None] * share
    aims = np.linalg.norm(between - origin, axis=2).ravel()
    hit, weights = _meet(triangles, np.tile(origin, (9 * SAMPLES, 1)), arcs.reshape(-1, 3), aims)
    points = (triangles[hit] * weights[..., None]).sum(1).reshape(9, SAMPLES, 3)
    hit, weights = skin[hit].reshape(9, SAMPLES), weights.reshape(9, SAMPLES, 3)
    outward = np.array(OUTWARD, float)[:, None]
    rows = []
    for yaw in np.concatenate([np.arange(MAX_YAW + 1), -np.arange(1, MAX_YAW + 1)]):
        near, far = (_outermost(points, outward, angle) for angle in (yaw, -yaw))
        left = [array[np.arange(9), near] for array in (hit, weights)]
        right = [hit[np.arange(9), far] + half, weights[np.arange(9), far][:, ::-1]]
        rows.append([np.concatenate([r[:0:-1], l]) for l, r in zip(left, right, strict=True)])
    return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])


def _outermost(points: np.ndarray, outward: np.ndarray, yaw: float) -> np.ndarray:
    """[9] sample of each curve that lies farthest outwards in the image of the head turned by `yaw` degrees."""
    angle = np.deg2rad(yaw)
    across = points[..., 0] * np.cos(angle) + points[..., 2] * np.sin(angle)
    return np.round(across * outward[..., 0] + points[..., 1] * outward[..., 1], 9).argmax(1)


def _meet(triangles: np.ndarray, starts: np.ndarray, rays: np.ndarray, aims: np.ndarray) -> Points:
    """Where rays meet the surface (Moller and Trumbore 1997), nearest to the distance that each aims at.

    So the cheek is met and no ear. Raises ValueError for a ray that meets nothing.
    """
    a, ab, ac = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    faces, weights = [], []
    for start, ray, aim in zip(starts, rays, aims, strict=True):
        across = np.cross(ray, ac)
        scale = (ab * across).sum(1)
        scale = np.where(np.abs(scale) < 1e-14, np.inf, scale)
        offset = start - a
        u = (offset * across).sum(1) / scale
        turned = np.cross(offset, ab)
        v, far = turned @ ray / scale, (ac * turned).sum(1) / scale
        hits = np.flatnonzero((u > -1e-7) & (v > -1e-7) & (u + v < 1 + 1e-7) & (far > 0))
        if not len(hits):
            raise ValueError(f"the ray from {start} along {ray} meets no skin")
        best = hits[np.round(np.abs(far[hits] - aim), 9).argmin()]
        weight = np.array([1 - u[best] - v[best], u[best], v[best]])
        weight = np.where(weight < 1e-6, 0, weight)
        faces.append(best)
        weights.append(weight / weight.sum())
    return np.array(faces), np.array(weights)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
