"""Reading a head from the files it comes in, and writing the project's own: one pickle-free npz."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mfnet.errors import InputError
from mfnet.files import atomic_path
from mfnet.flame.embedding import embedding_fields, embedding_from_fields, has_embedding
from mfnet.flame.head import HeadArrays, LandmarkEmbedding, head_from_fields
from mfnet.flame.npz import read_npz
from mfnet.flame.template import check_uv, read_template

MAX_BYTES = 256 << 20
"""Largest model file, and most memory that its arrays may take: five times FLAME 2017 in float64."""
_MASK_PREFIX = "mask_"
Paths = str | Path | Sequence[str | Path]


def read_head(
    model: str | Path,
    landmarks: Paths | None = None,
    template: str | Path | None = None,
) -> HeadArrays:
    """Read and check a head model with its landmarks and UV; each given file overrides what the model file carries.

    model: FLAME pickle (2017, 2020, 2023) or npz. landmarks: DECA's `landmark_embedding.npy`, an npz with its keys, or
    smplx's pair of static pickle and dynamic npy. template: OBJ. Raises InputError naming the file and the field.
    """
    fields = read_fields(model)
    head = head_from_fields(fields, model)
    n_faces = len(head.faces)
    extras: dict = {}
    if landmarks is not None:
        extras["landmarks"] = read_landmarks(landmarks, n_faces)
    elif has_embedding(fields):
        extras["landmarks"] = embedding_from_fields(fields, n_faces, model)
    if template is not None:
        extras["uv"], extras["uv_faces"] = read_template(template, head.faces)
    elif "uv" in fields:
        extras["uv"], extras["uv_faces"] = check_uv(fields, n_faces, model)
    return dataclasses.replace(head, **extras)


def read_landmarks(paths: Paths, n_faces: int) -> LandmarkEmbedding:
    """Landmark embedding for a head of `n_faces` faces from one file or from smplx's pair."""
    path = paths if isinstance(paths, str | Path) else paths[0]
    return embedding_from_fields(read_fields(path), n_faces, path)


def read_fields(path: str | Path) -> dict:
    """All fields of a file, its kind told from its first bytes."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return read_npz(path, MAX_BYTES)


def write_head(head: HeadArrays, path: str | Path) -> None:
    """Write everything about a head as one npz without any pickle; equal heads give equal bytes."""
    fields = {
        "v_template": head.v_template,
        "shapedirs": head.shapedirs,
        "posedirs": head.posedirs,
        "J_regressor": head.joint_regressor,
        "weights": head.weights,
        "f": head.faces,
        "kintree_table": np.stack([head.parents, np.arange(len(head.parents))]),
        "n_shape_total": np.int64(head.n_shape_total),
        "content_hash": np.array(head.content_hash()),
    }
    if head.landmarks is not None:
        fields |= embedding_fields(head.landmarks)
    if head.uv is not None:
        fields |= {"uv": head.uv, "uv_faces": head.uv_faces}
    fields |= {_MASK_PREFIX + name: mask for name, mask in sorted(head.masks.items())}
    with atomic_path(path) as beside, open(beside, "wb") as file:
        np.savez(file, **fields)
