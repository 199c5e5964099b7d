"""Reading a head from the files it comes in, and writing the project's own: one pickle-free npz."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mfnet.errors import InputError, fail
from mfnet.flame.dense import dense_fields, dense_from_fields
from mfnet.flame.embedding import embedding_fields, embedding_from_fields, has_embedding
from mfnet.flame.gnm import ReductionLoss, head_from_gnm, is_gnm, reduction_loss
from mfnet.flame.head import HeadArrays, LandmarkEmbedding, head_from_fields
from mfnet.flame.masks import derive_masks, masks_from_fields
from mfnet.flame.population import population_fields
from mfnet.flame.provenance import provenance_fields
from mfnet.flame.template import check_uv, read_template
from mfnet.io.files import atomic_path
from mfnet.io.npz import read_npz
from mfnet.io.pickle_names import ALLOWED, resolve
from mfnet.io.pickles import parse_npy, read_pickle
from mfnet.io.torch_storage import WITH_TENSORS

MAX_BYTES = 256 << 20
"""Largest model file, and most memory that its arrays may take: five times FLAME 2017 in float64."""
NPY_MAGIC = b"\x93NUMPY"
_MASK_PREFIX = "mask_"
Paths = str | Path | Sequence[str | Path]


def read_head(
    model: str | Path,
    landmarks: Paths | None = None,
    template: str | Path | None = None,
    masks: str | Path | None = None,
) -> HeadArrays:
    """Read and check a head model with its landmarks and UV; each given file overrides what the model file carries.

    model: FLAME pickle (2017, 2020, 2023), GNM Head v3's npz, or our own npz. landmarks: DECA's
    `landmark_embedding.npy`, an npz with its keys, or smplx's pair of static pickle and dynamic npy. template: OBJ.
    masks: FLAME_masks.pkl; where neither it nor the model file has any, the regions are derived from the landmarks.
    Raises InputError naming the file and the field.
    """
    return _head(read_fields(model), model, landmarks, template, masks)


def _head(
    fields: dict, model: str | Path, landmarks: Paths | None, template: str | Path | None, masks: str | Path | None
) -> HeadArrays:
    """As `read_head`, of the fields of the model file."""
    head = head_from_gnm(fields, model) if is_gnm(fields) else head_from_fields(fields, model)
    n_faces = len(head.faces)
    extras: dict = {"dense": dense_from_fields(fields, n_faces, model)}
    if landmarks is not None:
        extras["landmarks"] = read_landmarks(landmarks, n_faces)
    elif has_embedding(fields):
        extras["landmarks"] = embedding_from_fields(fields, n_faces, model)
    if template is not None:
        extras["uv"], extras["uv_faces"] = read_template(template, head.faces)
    elif "uv" in fields:
        extras["uv"], extras["uv_faces"] = check_uv(fields, n_faces, model)
    head = dataclasses.replace(head, **extras)
    _check_hash(fields, head, model)
    return dataclasses.replace(head, masks=_masks(fields, model, masks, head))


def _masks(fields: dict, model: str | Path, path: str | Path | None, head: HeadArrays) -> dict[str, np.ndarray]:
    """Regions from `path`, else from the model file's own `mask_` fields, else from the landmarks."""
    count = len(head.v_template)
    if path is not None:
        return masks_from_fields(_without_prefix(read_fields(path)), count, path)
    stored = _without_prefix({name: value for name, value in fields.items() if name.startswith(_MASK_PREFIX)})
    return masks_from_fields(stored, count, model) if stored else derive_masks(head)


def _check_hash(fields: dict, head: HeadArrays, path: str | Path) -> None:
    """An npz of ours names the hash of its content: a flipped bit or an edited array shows."""
    stored = fields.get("content_hash")
    if stored is not None and not (
        isinstance(stored, np.ndarray) and stored.size == 1 and stored.item() == head.content_hash()
    ):
        fail(path, "content_hash", "does not fit the arrays: the file is damaged or was edited; convert it again")


def _without_prefix(fields: dict) -> dict:
    return {name.removeprefix(_MASK_PREFIX): value for name, value in fields.items()}


def read_landmarks(paths: Paths, n_faces: int) -> LandmarkEmbedding:
    """Landmark embedding for a head of `n_faces` faces from one file or from smplx's pair."""
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    fields: dict = {}
    for path in paths:
        stored = read_fields(path, WITH_TENSORS)
        if "lmk_face_idx" in stored:  # smplx: the same keys in both files, told apart by their shape
            dynamic = getattr(stored["lmk_face_idx"], "ndim", 1) == 2
            kind = "dynamic" if dynamic else "static"
            names = (("lmk_face_idx", "faces_idx"), ("lmk_b_coords", "bary_coords"))
            stored = {f"{kind}_lmk_{ours}": stored[theirs] for theirs, ours in names if theirs in stored}
        fields |= stored
    return embedding_from_fields(fields, n_faces, " and ".join(map(str, paths)))


def read_fields(path: str | Path, allowed: dict = ALLOWED) -> dict:
    """All fields of an npz, a pickled dict, or an npy around a pickled dict; the kind is told from the first bytes.

    allowed: names that a pickle may use, see `pickles.read_pickle`. Raises InputError.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a .pkl, .npz or .npy file")
    try:
        with open(path, "rb") as file:
            size, start = os.fstat(file.fileno()).st_size, file.read(16)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which no head model is")
    if start.startswith(b"PK"):
        if path.suffix != ".npz":
            raise InputError(f"{path}: is a zip archive; unpack it, or name it .npz if it is one")
        return read_npz(path, MAX_BYTES)
    if start.lstrip()[:1] == b"<":
        raise InputError(f"{path}: is a web page, not a model (a failed download?); download it again while logged in")
    if path.suffix == ".npz":
        raise InputError(f"{path}: not an .npz (zip) file; copy it again")
    return _pickled_fields(path, start.startswith(NPY_MAGIC), allowed)


def _pickled_fields(path: Path, npy: bool, allowed: dict) -> dict:
    """Fields of a pickled dict, bare or as the one item of an object array in an npy."""
    data = path.read_bytes()
    value = parse_npy(data, path, allowed) if npy else read_pickle(data, path, allowed)
    if not isinstance(value, dict):
        raise InputError(f"{path}: does not hold a dict of named arrays; is this a FLAME file?")
    return {name: resolve(field) for name, field in value.items() if isinstance(name, str)}


class Conversion(NamedTuple):
    """What came of a conversion."""

    head: HeadArrays
    loss: ReductionLoss | None
    """What a GNM head loses in FLAME's form; None for a head that is in that form."""


def convert(
    model: str | Path,
    output: str | Path,
    landmarks: Paths | None = None,
    template: str | Path | None = None,
    masks: str | Path | None = None,
    declared: Mapping[str, Any] | None = None,
) -> Conversion:
    """Read a head as `read_head` does and write it whole as one npz, which `load_flame` then takes alone.

    declared: arguments of `HeadArrays.declaring`.
    """
    if Path(output).suffix != ".npz":
        raise InputError(f"{output}: the converted head is an .npz; name the output so")
    fields = read_fields(model)
    head = _head(fields, model, landmarks, template, masks).declaring(**declared or {})
    loss = reduction_loss(fields, head, model) if is_gnm(fields) else None
    write_head(head, output)
    return Conversion(head, loss)


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
        **provenance_fields(head.provenance),
    }
    if head.landmarks is not None:
        fields |= embedding_fields(head.landmarks)
    if head.dense is not None:
        fields |= dense_fields(head.dense)
    if head.uv is not None:
        fields |= {"uv": head.uv, "uv_faces": head.uv_faces}
    if head.population is not None:
        fields |= population_fields(head.population)
    fields |= {_MASK_PREFIX + name: mask for name, mask in sorted(head.masks.items())}
    with atomic_path(path) as beside, open(beside, "wb") as file:
        np.savez(file, **fields)
