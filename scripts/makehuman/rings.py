"""Loops of edges around the mouth and the eyes, found from the borders between the skin's rooms."""

import numpy as np
from scipy import sparse

from scripts.makehuman.mesh import HeadMesh

LID_EDGE = 2
"""Rings from the socket's border to the front edge of the lids' margin."""


def edges_of(faces: np.ndarray) -> np.ndarray:
    """[E, 2] each edge of triangles [F, 3] once, smaller vertex first."""
    return np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1), axis=0)


def opening(mesh: HeadMesh, room: str) -> np.ndarray:
    """[N, 2] edges between the face and `room` (`mouth_inside`, `neck` or, both sides, `socket`)."""
    known = {tuple(edge) for edge in edges_of(mesh.faces[mesh.room == room]).tolist()}
    return np.array([edge for edge in edges_of(mesh.faces[mesh.room == "face"]).tolist() if tuple(edge) in known])


def within(mesh: HeadMesh, start: np.ndarray, rings: int) -> np.ndarray:
    """[V] bool: vertices of the face at most `rings` edges from the vertices `start`."""
    edges = edges_of(mesh.faces[mesh.room == "face"])
    links = sparse.csr_matrix((np.ones(len(edges)), edges.T), (len(mesh.part),) * 2)
    reached = np.zeros(len(mesh.part), bool)
    reached[start] = True
    for _ in range(rings):
        reached = reached | ((links + links.T) @ reached > 0)
    return reached


def lid_ring(mesh: HeadMesh) -> np.ndarray:
    """[N, 2] edges along the front of the left lids' margin."""
    socket = np.unique(opening(mesh, "socket"))
    ring = within(mesh, socket, LID_EDGE) & ~within(mesh, socket, LID_EDGE - 1)
    edges = edges_of(mesh.faces[: len(mesh.faces) // 2][mesh.room[: len(mesh.faces) // 2] == "face"])
    return edges[ring[edges].all(1)]
