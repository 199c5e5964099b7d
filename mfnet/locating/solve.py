"""From pictures to the surface: where on a head each point of the mesh lies."""

import numpy as np

from mfnet.locating.look import Sightings
from mfnet.locating.surface import SurfacePoints, barycentric

FACING = 0.4
"""Cosine from which a triangle looks at the camera squarely enough to be believed."""
LEAST = 6
"""Pictures that must show a point squarely."""
SHOWN = 0.15
"""Share of the pictures that must show a triangle that a point may lie in."""
RADIUS = 0.012
"""Metres from where a point was carried back within which its triangle is looked for."""
ROBUST = 0.02
"""Ndc beyond which an error counts linearly."""
ROUNDS = 4
"""Reweightings of the least squares."""


def carry_back(seen: Sightings, template: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Where the detected points fall on the template [V, 3]: geometric medians [478, 3], NaN for what is never shown.

    Each detected pixel shows a triangle [F, 3] of the drawn head, and its place in it.
    """
    pictures, points = seen.mesh.shape[:2]
    found = np.full((pictures, points, 3), np.nan)
    for row in range(pictures):
        column, line = np.floor(seen.mesh[row]).astype(int).clip(0, seen.face.shape[1] - 1).T
        face = seen.face[row, line, column]
        good = np.flatnonzero((face >= 0) & (seen.facing[row][faces[face]].mean(1) > FACING))
        corners = faces[face[good]]
        weights = barycentric(seen.mesh[row, good], seen.vertices[row][corners])
        found[row, good] = (template[corners] * weights[..., None]).sum(1)
    shown = np.isfinite(found[..., 0])
    nowhere = np.full(3, np.nan)
    return np.stack([median(found[shown[:, k], k]) if shown[:, k].sum() >= LEAST else nowhere for k in range(points)])


def median(points: np.ndarray) -> np.ndarray:
    """Geometric median [3] of points [N, 3], by Weiszfeld's iteration."""
    middle = np.median(points, axis=0)
    for _ in range(30):
        weight = 1 / np.linalg.norm(points - middle, axis=1).clip(1e-4)
        middle = (weight[:, None] * points).sum(0) / weight.sum()
    return middle


def shown_faces(seen: Sightings, count: int) -> np.ndarray:
    """Which of `count` triangles enough of the pictures show: bool."""
    shown = np.zeros(count, int)
    for picture in seen.face:
        shown[np.unique(picture[picture >= 0])] += 1
    return shown > SHOWN * len(seen.face)


def solve(
    seen: Sightings, rows: np.ndarray, starts: np.ndarray, template: np.ndarray, faces: np.ndarray, allowed: np.ndarray
) -> SurfacePoints:
    """Points of the mesh `rows` [N] on the head, each near its start [N, 3] (metres on the template [V, 3]).

    Among the `allowed` triangles (bool [F]) round the start that one is taken, and that place in it, whose projection
    lies nearest to what was detected, robustly, in all pictures where it faces the camera.
    """
    half = seen.half
    vertices, mesh = seen.vertices / half[:, None, None], seen.mesh / half[:, None, None]
    centres = template[faces].mean(1)
    chosen, weights = [], []
    for row, start in zip(rows, starts, strict=True):
        away = np.where(allowed, np.linalg.norm(centres - start, axis=1), np.inf)
        near = np.flatnonzero(away < RADIUS)
        if not len(near):
            near = np.argsort(away)[:10]
        square = seen.facing[:, faces[away.argmin()]].mean(1)
        use = square > FACING - 0.1
        if use.sum() < LEAST:
            use = square > -1
        best, place = _best(vertices[use][:, faces[near]], mesh[use, row], square[use].clip(0.05))
        chosen.append(near[best])
        weights.append(place)
    return SurfacePoints(np.array(chosen), np.array(weights))


def _best(triangles: np.ndarray, points: np.ndarray, trust: np.ndarray) -> tuple[int, np.ndarray]:
    """Which of C triangles [P, C, 3, 2] explains points [P, 2] best, weighted by trust [P], and the place in it [3]."""
    sides = np.stack([triangles[:, :, 1] - triangles[:, :, 0], triangles[:, :, 2] - triangles[:, :, 0]], -1)
    target = points[:, None] - triangles[:, :, 0]
    trust = np.repeat(trust[:, None], triangles.shape[1], 1)
    weight = trust
    for _ in range(ROUNDS):
        normal = np.einsum("pc,pcij,pcik->cjk", weight, sides, sides) + 1e-9 * np.eye(2)
        right = np.einsum("pc,pcij,pci->cj", weight, sides, target)
        uv = np.linalg.solve(normal, right[..., None])[..., 0]
        place = np.concatenate([1 - uv.sum(1, keepdims=True), uv], 1).clip(0)
        place /= place.sum(1, keepdims=True)
        off = np.linalg.norm(np.einsum("pckj,ck->pcj", triangles, place) - points[:, None], axis=-1)
        weight = trust * np.minimum(1, ROBUST / off.clip(1e-6))
    cost = np.where(off < ROBUST, off**2, 2 * ROBUST * off - ROBUST**2)
    best = int(((trust * cost).sum(0)).argmin())
    return best, place[best]
