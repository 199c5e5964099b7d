"""Edge flips that make a triangulation follow the surface it lies on."""

import numpy as np

ROUNDS = 40


def flip_to_delaunay(faces: np.ndarray, points: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Flip edges of `faces` [F, 3] until the angles opposite them on the surface `points` [N, 3] sum to at most pi.

    An edge is flipped only if both new faces keep their orientation seen along `directions` [N, 3], so that the mesh
    stays a bijection of the sphere. Returns the faces [F, 3].
    """
    faces = faces.copy()
    for _ in range(ROUNDS):
        edges, rows, tips = _interior_edges(faces)
        excess = _opposite_angles(points, edges, tips) - np.pi
        wanted = np.flatnonzero((excess > 1e-6) & _convex(directions, edges, tips))
        chosen = _independent(wanted[np.argsort(-excess[wanted], kind="stable")], rows)
        if not len(chosen):
            break
        (a, b), (c, d) = edges[chosen].T, tips[chosen].T
        faces[rows[chosen, 0]] = np.column_stack([a, d, c])
        faces[rows[chosen, 1]] = np.column_stack([b, c, d])
    return faces


def _interior_edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges [E, 2] as (a, b) of the first face, their two faces [E, 2], and the vertices opposite in them [E, 2]."""
    directed = np.concatenate([faces[:, [k, (k + 1) % 3]] for k in range(3)])
    tip = np.concatenate([faces[:, (k + 2) % 3] for k in range(3)])
    row = np.tile(np.arange(len(faces)), 3)
    low, high = directed.min(1), directed.max(1)
    order = np.lexsort((directed[:, 0] != low, high, low))
    same = (low[order[1:]] == low[order[:-1]]) & (high[order[1:]] == high[order[:-1]])
    first, second = order[:-1][same], order[1:][same]
    return directed[first], np.column_stack([row[first], row[second]]), np.column_stack([tip[first], tip[second]])


def _opposite_angles(points: np.ndarray, edges: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """Sum [E] of the angles under which both tips see the edge."""
    total = np.zeros(len(edges))
    for k in range(2):
        u, v = points[edges[:, 0]] - points[tips[:, k]], points[edges[:, 1]] - points[tips[:, k]]
        cosine = (u * v).sum(-1) / np.sqrt((u * u).sum(-1) * (v * v).sum(-1))
        total += np.arccos(np.clip(cosine, -1.0, 1.0))
    return total


def _convex(directions: np.ndarray, edges: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """Whether the flipped faces (a, d, c) and (b, c, d) are positively oriented and not slivers [E]."""
    (a, b), (c, d) = directions[edges].transpose(1, 0, 2), directions[tips].transpose(1, 0, 2)
    across = np.cross(d, c)
    limit = 0.02 * ((a - b) ** 2).sum(-1)
    return ((a * across).sum(-1) > limit) & ((b * -across).sum(-1) > limit)


def _independent(candidates: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The candidates, best first, that share no face with a better one."""
    taken: set[int] = set()
    chosen = []
    for edge in candidates:
        first, second = rows[edge]
        if first not in taken and second not in taken:
            taken |= {first, second}
            chosen.append(edge)
    return np.array(chosen, dtype=np.int64)
