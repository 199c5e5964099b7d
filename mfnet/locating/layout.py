"""A texture layout for heads that come without one."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_SKIN = 0.8
"""Share of the texture's height that the skin takes; below it lie eyeballs and other parts."""
_MARGIN = 0.01


def cylindrical_layout(vertices: np.ndarray, faces: np.ndarray, lining: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """UV [T, 2] (0..1, v up) and uv_faces [F, 3] of a head (metres, y up, z out of the face) with faces [F, 3].

    The largest connected part lies on a cylinder about the vertical axis, its seam at the back; each other part is seen
    from the front in a tile of its own. So is the `lining` (bool [F]), what no one sees from outside: the inside of the
    mouth would lie on the cheeks.
    """
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_array((np.ones(len(edges)), edges.T), (len(vertices), len(vertices)))
    part = connected_components(graph, directed=False)[1]
    of_face = np.where(lining, part.max() + 1, part[faces[:, 0]])
    numbers, counts = np.unique(of_face, return_counts=True)
    skin, *others = numbers[np.argsort(-counts, kind="stable")]
    uv, owners = _cylinder(vertices, faces[of_face == skin])
    uv_faces = np.empty_like(faces)
    uv_faces[of_face == skin] = owners
    for tile, number in enumerate(others):
        own = faces[of_face == number]
        used, corners = np.unique(own, return_inverse=True)
        flat = vertices[used, :2] - vertices[used, :2].min(0)
        flat = flat / max(flat.max(), 1e-9)
        side = min((1 - _SKIN) - _MARGIN, 1 / len(others) - _MARGIN)
        uv_faces[of_face == number] = corners.reshape(own.shape) + len(uv)
        uv = np.concatenate([uv, flat * side + [tile / len(others), 0]])
    return uv.clip(0, 1).astype(np.float32), uv_faces


def _cylinder(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """UV and uv_faces of the skin: vertices of faces across the seam stand there twice."""
    used = np.unique(faces)
    centre = (vertices[used].min(0) + vertices[used].max(0)) / 2
    around = np.arctan2(vertices[:, 0] - centre[0], vertices[:, 2] - centre[2]) / (2 * np.pi) + 0.5
    low, high = vertices[used, 1].min(), vertices[used, 1].max()
    height = 1 - _SKIN + _SKIN * (vertices[:, 1] - low) / max(high - low, 1e-9)
    corners = around[faces]
    across = (corners.max(1) - corners.min(1) > 0.5)[:, None] & (corners < 0.5)
    again, places = np.unique(faces[across], return_inverse=True)
    uv_faces = faces.copy()
    uv_faces[across] = len(vertices) + places
    uv = np.stack([np.concatenate([around, around[again] + 1]), np.concatenate([height, height[again]])], 1)
    uv[:, 0] /= max(1.0, uv[:, 0].max())
    return uv, uv_faces
