"""The 478 points of MediaPipe's face mesh on a head, and how far a detector is off them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfnet.errors import fail
from mfnet.flame.arrays import float_array, index_array

N_DENSE = 478
"""Points of Face Mesh V2: 468 of the skin, then five of each iris."""
YAW_EDGES = (-36.0, -18.0, 18.0, 36.0)
"""Degrees between the columns of yaw of `DenseEmbedding.sigma`."""
LARGEST_YAW = 55.0
"""Degrees either way beyond which a mesh is lost: its points are of no use there."""
_KEY = "dense_lmk"


@dataclass(frozen=True)
class DenseEmbedding:
    """Points inside triangles of a head, in the order of the mesh; found by `mfnet head landmarks`."""

    faces: np.ndarray
    """[478] index of the triangle."""
    weights: np.ndarray
    """[478, 3] barycentric, sums of 1."""
    sigma: np.ndarray
    """[5, 478] root mean square error of a coordinate of what is detected on drawn pictures, ndc of a crop of 1.25
    boxes; a row a range of yaw (`YAW_EDGES`, > 0 shows the subject's right cheek)."""

    def sigma_at(self, yaw: np.ndarray) -> np.ndarray:
        """[V, 478] of views at `yaw` [V], degrees."""
        return self.sigma[np.searchsorted(YAW_EDGES, yaw)]


def dense_fields(dense: DenseEmbedding) -> dict[str, np.ndarray]:
    """Arrays by the names under which a file holds them."""
    return {
        f"{_KEY}_faces_idx": dense.faces,
        f"{_KEY}_bary_coords": dense.weights,
        f"{_KEY}_sigma": dense.sigma,
    }


def dense_from_fields(fields: dict, n_faces: int, path: str | Path) -> DenseEmbedding | None:
    """The inverse of `dense_fields`, checked; None where a file has none. Raises InputError naming the field."""
    if f"{_KEY}_faces_idx" not in fields:
        return None
    faces = index_array(fields, f"{_KEY}_faces_idx", (N_DENSE,), n_faces, path)
    weights = float_array(fields, f"{_KEY}_bary_coords", (N_DENSE, 3), path)
    if np.abs(weights.sum(-1) - 1).max() > 1e-3:
        fail(path, f"{_KEY}_bary_coords", "has barycentric weights that do not sum to 1")
    sigma = float_array(fields, f"{_KEY}_sigma", (len(YAW_EDGES) + 1, N_DENSE), path)
    if not sigma.min() > 0:
        fail(path, f"{_KEY}_sigma", "has a standard deviation that is not positive")
    return DenseEmbedding(faces, weights, sigma)
