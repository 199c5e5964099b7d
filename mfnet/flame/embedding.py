"""Landmark embeddings, and the contour that walks with the head's turn."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mfnet.errors import fail
from mfnet.flame.arrays import float_array, index_array
from mfnet.flame.head import LandmarkEmbedding
from mfnet.io.files import atomic_path
from mfnet.landmarks.ibug import N_CONTOUR, N_LANDMARKS, N_STATIC

_LARGEST_YAW = 39  # degrees: the contour stops walking there
N_YAW_ROWS = 2 * _LARGEST_YAW + 1
_KEYS = ("static_lmk", "dynamic_lmk", "full_lmk")


def has_embedding(fields: dict) -> bool:
    """Whether a file's fields include any landmark key."""
    return any(name.startswith(_KEYS) for name in fields)


def embedding_from_fields(fields: dict, n_faces: int, path: str | Path) -> LandmarkEmbedding:
    """The embedding under DECA's keys, checked: `{static,dynamic,full}_lmk_{faces_idx,bary_coords}`.

    Where only one of static and full is stored the other follows: the 51 static points are the last of the full 68, and
    the full contour is the dynamic one at yaw 0. Raises InputError naming `path` and the field.
    """
    fields = {name: _unbatched(value, name) for name, value in fields.items() if name.startswith(_KEYS)}
    dynamic = _points(fields, "dynamic_lmk", (N_YAW_ROWS, N_CONTOUR), n_faces, path)
    stored = {name for name in ("static_lmk", "full_lmk") if f"{name}_faces_idx" in fields}
    if not stored:
        fail(path, "static_lmk_faces_idx", "is missing; give DECA's or smplx's landmark embedding")
    full = _points(fields, "full_lmk", (N_LANDMARKS,), n_faces, path) if "full_lmk" in stored else None
    if full is None or "static_lmk" in stored:
        static = _points(fields, "static_lmk", (N_STATIC,), n_faces, path)
    else:
        static = full[0][N_CONTOUR:], full[1][N_CONTOUR:]
    if full is None:
        full = np.concatenate([dynamic[0][0], static[0]]), np.concatenate([dynamic[1][0], static[1]])
    return LandmarkEmbedding(*static, *dynamic, *full)


def embedding_fields(embedding: LandmarkEmbedding) -> dict[str, np.ndarray]:
    """The inverse of `embedding_from_fields`: arrays under DECA's keys."""
    return {
        "static_lmk_faces_idx": embedding.static_faces,
        "static_lmk_bary_coords": embedding.static_weights,
        "dynamic_lmk_faces_idx": embedding.dynamic_faces,
        "dynamic_lmk_bary_coords": embedding.dynamic_weights,
        "full_lmk_faces_idx": embedding.full_faces,
        "full_lmk_bary_coords": embedding.full_weights,
    }


def write_landmarks(embedding: LandmarkEmbedding, path: str | Path) -> None:
    """Write an embedding as an npz under DECA's keys, without a pickle."""
    fields = embedding_fields(embedding)
    with atomic_path(path) as beside, open(beside, "wb") as file:
        np.savez(file, **fields)  # pyright: ignore[reportArgumentType]  # it takes any array for allow_pickle too


def contour_rows(global_rotation: Tensor, neck_rotation: Tensor) -> Tensor:
    """Row [B] of the dynamic embedding for rotation matrices [B, 3, 3] of the global and the neck joint.

    DECA's convention: the head's turn is the yaw of R_global R_neck in degrees, positive towards the subject's left,
    rounded half to even; +39 and more is row 39, below -39 is row 78.
    """
    matrix = global_rotation @ neck_rotation
    yaw = torch.atan2(-matrix[:, 2, 0], torch.hypot(matrix[:, 0, 0], matrix[:, 1, 0]))
    degrees = torch.round(torch.rad2deg(yaw).clamp(-_LARGEST_YAW, _LARGEST_YAW)).long()
    return torch.where(degrees < 0, _LARGEST_YAW - degrees, degrees)


def _unbatched(value: object, name: str) -> object:
    """Drop the leading axis of 1 that DECA's full embedding has."""
    axes = 1 if name.endswith("faces_idx") else 2
    if isinstance(value, np.ndarray) and name.startswith("full") and value.ndim == axes + 1 and len(value) == 1:
        return value[0]
    return value


def _points(
    fields: dict, name: str, shape: tuple[int, ...], n_faces: int, path: str | Path
) -> tuple[np.ndarray, np.ndarray]:
    """Face indices [*shape] and barycentric weights [*shape, 3], which must sum to 1."""
    faces = index_array(fields, f"{name}_faces_idx", shape, n_faces, path)
    weights = float_array(fields, f"{name}_bary_coords", (*shape, 3), path)
    if np.abs(weights.sum(-1) - 1).max() > 1e-3:
        fail(path, f"{name}_bary_coords", "has barycentric weights that do not sum to 1")
    return faces, weights
