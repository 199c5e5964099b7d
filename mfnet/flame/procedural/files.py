"""The landmark embedding and the UV template as files of their own, as official heads have them."""

from pathlib import Path

import numpy as np

from mfnet.errors import InputError
from mfnet.flame.embedding import embedding_fields
from mfnet.flame.head import HeadArrays
from mfnet.io.files import atomic_path
from mfnet.io.obj import ObjMesh, write_obj


def write_landmarks(head: HeadArrays, path: str | Path) -> None:
    """Write the head's landmark embedding under DECA's keys, without a pickle."""
    if head.landmarks is None:
        raise InputError(f"{path}: landmarks: the head has no embedding to write")
    fields = embedding_fields(head.landmarks)
    with atomic_path(path) as beside, open(beside, "wb") as file:
        np.savez(file, **fields)  # pyright: ignore[reportArgumentType]  # it takes any array for allow_pickle too


def write_template(head: HeadArrays, path: str | Path) -> None:
    """Write the average head as an OBJ with UV (metres, v up), faces in the order of the model's."""
    write_obj(path, ObjMesh(head.v_template, head.faces, head.uv, head.uv_faces), uv_format="%.9g")
