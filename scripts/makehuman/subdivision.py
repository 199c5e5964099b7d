"""Catmull-Clark subdivision of quad meshes as sparse matrices, with open borders."""

from typing import NamedTuple

import numpy as np
from scipy import sparse


class Subdivided(NamedTuple):
    """One step on Q quads over N vertices and E edges; new points are vertices, then edges, then faces."""

    points: sparse.csr_matrix
    """[N + E + Q, N] every new point as a mixture of the old vertices."""
    edges: np.ndarray
    """[E, 2] vertices, smaller first."""
    quad_edges: np.ndarray
    """[Q, 4] edge k joins corners k and k + 1 of its quad."""


def catmull_clark(quads: np.ndarray, count: int) -> Subdivided:
    """One step on quads [Q, 4] over `count` vertices (Catmull and Clark 1978; borders as cubic B-splines)."""
    q = len(quads)
    pairs = np.sort(np.stack([quads, np.roll(quads, -1, 1)], -1).reshape(-1, 2), 1)
    edges, inverse = np.unique(pairs, axis=0, return_inverse=True)
    quad_edges = inverse.reshape(q, 4)
    e = len(edges)
    border = np.bincount(quad_edges.ravel(), minlength=e) == 1
    rows4, rows2 = np.repeat(np.arange(q), 4), np.repeat(np.arange(e), 2)
    faces = sparse.csr_matrix((np.full(4 * q, 0.25), (rows4, quads.ravel())), (q, count))
    middles = sparse.csr_matrix((np.full(2 * e, 0.5), (rows2, edges.ravel())), (e, count))
    beside = sparse.csr_matrix((np.full(4 * q, 0.5), (quad_edges.ravel(), rows4)), (e, q))
    inner = sparse.diags(1.0 - border)
    edge_points = middles - 0.5 * inner @ middles + 0.5 * inner @ beside @ faces
    around = sparse.csr_matrix((np.ones(4 * q), (quads.ravel(), rows4)), (count, q))
    touching = sparse.csr_matrix((np.ones(2 * e), (edges.ravel(), rows2)), (count, e))
    on_border = np.asarray(touching @ border) > 0
    valence = np.maximum(np.asarray(touching.sum(1)).ravel(), 1)
    share = sparse.diags(1.0 / valence)
    smooth = share @ (share @ (around @ faces) + 2 * share @ (touching @ middles) + sparse.diags(valence - 3.0))
    spline = 0.5 * sparse.identity(count) + 0.25 * touching @ sparse.diags(border.astype(float)) @ middles
    vertices = sparse.diags((~on_border).astype(float)) @ smooth + sparse.diags(on_border.astype(float)) @ spline
    return Subdivided(sparse.vstack([vertices, edge_points, faces]).tocsr(), edges, quad_edges)


def split_quads(quads: np.ndarray, step: Subdivided, count: int) -> np.ndarray:
    """The [4 Q, 4] quads of the subdivided mesh."""
    edge = count + step.quad_edges
    face = (count + len(step.edges) + np.arange(len(quads)))[:, None]
    corners = [np.stack([quads[:, k], edge[:, k], face[:, 0], edge[:, k - 1]], 1) for k in range(4)]
    return np.stack(corners, 1).reshape(-1, 4)
