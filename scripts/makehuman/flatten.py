"""Flattening a disc-like surface with little stretch and no flipped triangle, deterministic to rounding.

Start: Tutte's embedding on a half disc or disc. Then the symmetric Dirichlet energy (Smith and Schaefer 2015) is
lowered by scalable locally injective mappings (Rabinovich et al. 2017): sparse least squares with a line search.
"""

import itertools

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

ITERATIONS = 100
_PROXIMAL = 1e-6
_STEP = 0.8  # of the way to the first flip


def flatten(points: np.ndarray, faces: np.ndarray, pinned: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """[N, 2] places of `points` [N, 3] (metres, each used) under triangles `faces` [F, 3].

    pinned: vertices that stay on the line u = 0, part of the border from low to high, or none; the surface then lies
    at u > 0. scale [F]: wanted length in the plane of a metre of the surface. Holes
    are closed while it works, so that their borders keep their shape.
    """
    filled, all_points, pinned = _closed(points, faces, pinned)
    sizes = np.concatenate([scale, np.full(len(filled) - len(faces), scale.min() * 0.2)])
    gradients, areas = _gradients(all_points, filled, sizes)
    areas[len(faces) :] *= 0.05
    free = np.ones((len(all_points), 2), bool)
    free[pinned, 0] = False
    places = _tutte(filled, len(all_points), pinned) * np.sqrt(areas.sum())
    free = np.flatnonzero(free.T.ravel())
    for _ in range(ITERATIONS):
        places = _improved(places, filled, gradients, areas, free)
    return places[: len(points)]


def _closed(points: np.ndarray, faces: np.ndarray, pinned: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces, points and pinned vertices with every hole, and every gap in the pinned line, filled by a fan.

    The fans' centres follow the points; the centre of a gap is pinned between its ends.
    """
    *holes, border = sorted(border_loops(faces), key=len)
    points, faces, line = list(points), [faces], list(pinned[:1])
    for low, high in itertools.pairwise(pinned.tolist()):
        start, end = border.index(high), border.index(low)
        chain = border[start : end + 1] if start <= end else border[start:] + border[: end + 1]
        if len(chain) > 2:
            line.append(len(points))
            points.append(0.5 * (points[low] + points[high]))
            faces.append(np.array([(b, a, line[-1]) for a, b in itertools.pairwise(chain)]))
        line.append(high)
    for hole in holes:
        faces.append(np.array([(b, a, len(points)) for a, b in zip(hole, np.roll(hole, -1), strict=True)]))
        points.append(np.mean([points[v] for v in hole], axis=0))
    return np.concatenate(faces), np.array(points), np.array(line, int)


def border_loops(faces: np.ndarray) -> list[list[int]]:
    """Loops of border vertices, in the direction of their faces."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    known = {tuple(edge) for edge in directed.tolist()}
    after = {a: b for a, b in known if (b, a) not in known}
    loops = []
    while after:
        loop = [min(after)]
        while (following := after.pop(loop[-1])) != loop[0]:
            loop.append(following)
        loops.append(loop)
    return loops


def _tutte(faces: np.ndarray, count: int, pinned: np.ndarray) -> np.ndarray:
    """[count, 2] in a disc of area about 1, or in its right half with `pinned` on the straight side."""
    (loop,) = border_loops(faces)
    places = np.zeros((count, 2))
    if len(pinned):
        start = loop.index(pinned[0])
        loop = loop[start:] + loop[:start]  # from the bottom round the free border to the top, then down the line
        rest = len(loop) - len(pinned) + 1
        if loop[rest:] != pinned[:0:-1].tolist():
            raise ValueError("the pinned vertices are no piece of the border, from low to high")
        angle = np.pi * np.arange(rest + 1) / rest - np.pi / 2
        places[loop[: rest + 1]] = np.stack([np.cos(angle), np.sin(angle)], 1)
        places[pinned] = np.stack([np.zeros(len(pinned)), np.linspace(-1, 1, len(pinned))], 1)
    else:
        angle = 2 * np.pi * np.arange(len(loop)) / len(loop)
        places[loop] = np.stack([np.cos(angle), np.sin(angle)], 1)
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1), axis=0)
    links = sparse.csr_matrix((np.ones(len(edges)), edges.T), (count, count))
    links = links + links.T
    laplacian = (sparse.diags(np.asarray(links.sum(1)).ravel()) - links).tocsr()
    inner = np.setdiff1d(np.arange(count), loop)
    places[inner] = spsolve(laplacian[inner][:, inner].tocsc(), -(laplacian[inner][:, loop] @ places[loop]))
    return places


def _gradients(points: np.ndarray, faces: np.ndarray, scale: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
    """[2 F, N] the two derivatives in each triangle's own scaled plane, and its area there [F]."""
    a, b, c = (points[faces[:, k]] for k in range(3))
    along = (b - a) * scale[:, None]
    x = np.linalg.norm(along, axis=1)
    across = (c - a) * scale[:, None]
    p = (along * across).sum(1) / x
    q = np.linalg.norm(np.cross(along, across), axis=1) / x
    zero = np.zeros_like(x)
    dx = np.stack([-1 / x, 1 / x, zero], 1)
    dy = np.stack([(p - x) / (x * q), -p / (x * q), 1 / q], 1)
    rows = np.repeat(np.arange(len(faces)), 3)
    shape = (len(faces), len(points))
    parts = [sparse.csr_matrix((d.ravel(), (rows, faces.ravel())), shape) for d in (dx, dy)]
    return sparse.vstack(parts).tocsr(), x * q / 2


def _jacobians(places: np.ndarray, gradients: sparse.csr_matrix) -> np.ndarray:
    derived = gradients @ places
    half = len(derived) // 2
    return np.stack([derived[:half], derived[half:]], -1)  # [F, 2 (u, v), 2 (x, y)]


def _energy(places: np.ndarray, gradients: sparse.csr_matrix, areas: np.ndarray) -> float:
    jacobian = _jacobians(places, gradients)
    square = (jacobian**2).sum((1, 2))
    return float(areas @ (square * (1 + 1 / np.linalg.det(jacobian) ** 2)))


def _improved(
    places: np.ndarray, faces: np.ndarray, gradients: sparse.csr_matrix, areas: np.ndarray, free: np.ndarray
) -> np.ndarray:
    """One step: the weighted proxy's minimum, approached as far as no triangle flips and the energy falls."""
    u, s, vt = np.linalg.svd(_jacobians(places, gradients))
    near = np.abs(s - 1) < 1e-6
    weight = np.sqrt(np.where(near, 4.0, (s - s**-3.0) / np.where(near, 1.0, s - 1)))
    weight = (u * weight[:, None]) @ u.transpose(0, 2, 1) * np.sqrt(areas)[:, None, None]
    wanted = weight @ u @ vt
    blocks = []
    for row in range(2):
        for axis in range(2):
            part = gradients[axis * len(areas) : (axis + 1) * len(areas)]
            blocks.append([sparse.diags(weight[:, row, column]) @ part for column in range(2)])
    matrix = sparse.bmat(blocks).tocsr()
    target = np.concatenate([wanted[:, row, axis] for row in range(2) for axis in range(2)])
    flat = places.T.ravel()
    system = (matrix.T @ matrix + _PROXIMAL * sparse.identity(matrix.shape[1])).tocsr()
    right = matrix.T @ (target - matrix @ flat)
    step = np.zeros_like(flat)
    step[free] = spsolve(system[free][:, free].tocsc(), right[free])
    direction = step.reshape(2, -1).T
    size, before = min(1.0, _STEP * _first_flip(places, direction, faces)), _energy(places, gradients, areas)
    for _ in range(30):
        if _energy(places + size * direction, gradients, areas) < before:
            return places + size * direction
        size /= 2
    return places


def _first_flip(places: np.ndarray, direction: np.ndarray, faces: np.ndarray) -> float:
    """Smallest positive step at which a triangle's area is zero."""
    a, b = (places[faces[:, k]] - places[faces[:, 0]] for k in (1, 2))
    da, db = (direction[faces[:, k]] - direction[faces[:, 0]] for k in (1, 2))
    cross = lambda p, q: p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]  # noqa: E731
    c0, c1, c2 = cross(a, b), cross(a, db) + cross(da, b), cross(da, db)
    root = np.sqrt(np.maximum(c1**2 - 4 * c0 * c2, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        roots = np.concatenate([2 * c0 / (-c1 + root), 2 * c0 / (-c1 - root)])
    real = np.tile(c1**2 - 4 * c0 * c2 >= 0, 2)
    roots = roots[real & np.isfinite(roots) & (roots > 0)]
    return float(roots.min()) if len(roots) else np.inf
