"""Tensor files: ours, safetensors whose one metadata entry says what they hold and which head model they belong to, and
those of others in torch's own format.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from mfnet.errors import InputError
from mfnet.io.files import atomic_path, parse_json
from mfnet.io.pickle_names import Refused
from mfnet.io.torch_pickle import check_torch_file
from mfnet.params import describe

ENTRY = "mfnet"
"""All metadata is one JSON text under one key: safetensors writes several keys in random order, so that two equal files
would differ in their bytes and DVC would see a change."""
CONTENT_HASH = "content_hash"
"""Key of the metadata; files of before it have none, the shipped weights among them."""
IDENTITY = ("head_hash", "n_shape", "n_expression")
"""Keys of the metadata by which a file belongs to a head."""


class HeadOrigin(Protocol):
    """Whose a head model is (`mfnet.flame.provenance.Provenance`)."""

    @property
    def edition(self) -> str: ...
    @property
    def licence(self) -> str: ...
    @property
    def attribution(self) -> str: ...


class HeadIdentity(Protocol):
    """What of a head model goes into files; its whole class would make every stage depend on the head's code."""

    content_hash: str
    n_shape: int
    n_expression: int

    @property
    def provenance(self) -> HeadOrigin: ...


def write_tensors(state: dict[str, torch.Tensor], path: str | Path, metadata: dict) -> None:
    """Write tensors and metadata (JSON values, with a ``kind``) with a hash of both, atomically; equal contents give
    equal bytes."""
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    text = json.dumps(metadata | {CONTENT_HASH: content_hash(tensors, metadata)}, sort_keys=True)
    with atomic_path(path) as beside:
        beside.write_bytes(save(tensors, metadata={ENTRY: text}))  # safetensors' own error has no number of the cause


def read_tensors(path: str | Path, kind: str) -> tuple[dict[str, torch.Tensor], dict]:
    """Tensors (half precision widened to float32) and metadata, as they were written, of one of our files of the given
    kind.

    Raises InputError if the file is missing, not safetensors, not ours, of another kind, or has another content than
    its hash says.
    """
    with _opened(path) as file:
        state = {name: file.get_tensor(name) for name in file.keys()}
        metadata = _metadata(file, path, kind)
    stored = metadata.pop(CONTENT_HASH, None)
    if stored is not None and stored != content_hash(state, metadata):
        raise InputError(f"{path}: its content is not what its hash says; it is damaged or was edited: fetch it again")
    widened = {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in state.items()}
    return widened, metadata


def read_metadata(path: str | Path, kind: str) -> dict:
    """The metadata alone: no tensor is read, and no hash checked. Raises InputError as `read_tensors` does."""
    with _opened(path) as file:
        metadata = _metadata(file, path, kind)
    metadata.pop(CONTENT_HASH, None)
    return metadata


@contextmanager
def _opened(path: str | Path) -> Iterator[safe_open]:
    try:
        with safe_open(str(path), framework="pt") as file:
            yield file
    except InputError:
        raise
    except FileNotFoundError:  # safetensors says so of a file that may not be read, too
        cause = "cannot be read (its mode?)" if Path(path).exists() else "no such file; run the stage that writes it"
        raise InputError(f"{path}: {cause}") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:  # the two last: dtypes that torch has not
        raise InputError(f"{path}: not a readable safetensors file: {' '.join(str(error).split())}") from None


def _metadata(file: safe_open, path: str | Path, kind: str) -> dict:
    metadata = _checked_metadata((file.metadata() or {}).get(ENTRY, "{}"), path)
    if metadata.get("kind") != kind:
        raise InputError(f"{path}: holds {metadata.get('kind', 'something not ours')}, expected {kind}")
    return metadata


def content_hash(tensors: dict[str, torch.Tensor], metadata: dict) -> str:
    """SHA-256 (hex) over metadata (JSON values) and names, types, shapes and bytes of tensors on the CPU."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


HeadText = Annotated[str, Field(max_length=2000)]
"""A text of a head's provenance."""


class Metadata(BaseModel):
    """What the files' metadata say, whatever their kind; more than that is left as it is."""

    model_config = ConfigDict(strict=True, extra="allow")

    kind: Annotated[str, Field(max_length=64)] = "something not ours"
    content_hash: Annotated[str, Field(max_length=128)] = ""
    head_hash: Annotated[str, Field(max_length=128)] = ""
    head_edition: HeadText = ""
    head_licence: HeadText = ""
    head_attribution: HeadText = ""
    n_shape: Annotated[int, Field(ge=0, le=1000)] = 0
    n_expression: Annotated[int, Field(ge=0, le=1000)] = 0
    estimator: Annotated[str, Field(max_length=64)] = ""
    updates: Annotated[int, Field(ge=1, le=100)] = 1
    """Iterations of the flow network."""
    enlarge: Annotated[int, Field(ge=1, le=16)] = 1
    """How many times as large images are for the flow network."""
    model: dict[str, str | int | float] = {}
    """The architecture (`mfnet.model.architecture`)."""
    crops: dict[str, int | float] = {}


def _checked_metadata(text: str, path: str | Path) -> dict:
    content = parse_json(text, f"{path}: metadata")
    try:
        Metadata.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: metadata: {describe(error)}") from None
    return content


def save_torch(state: dict, file: IO[bytes]) -> None:
    """`torch.save`, whose errors of a disk that refuses are those of the disk: its writer raises its own over them."""
    try:
        torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def load_torch(path: str | Path, remedy: str, device: torch.device | str = "cpu") -> object:
    """What `torch.save` wrote, tensors and plain Python values only: nothing in the file is run.

    Raises InputError, ending in `remedy`, if the file is missing, damaged, or holds anything else; a name that it asks
    for is said. torch's own text is not passed on: it recommends to load such a file all the same.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; {remedy}")
    try:
        check_torch_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location=device, weights_only=True)
    except Refused as error:
        raise InputError(f"{path}: not a torch file of plain tensors ({error}); {remedy}") from None
    except Exception:  # torch raises many kinds for a damaged file
        raise InputError(f"{path}: not a torch file of plain tensors (it is damaged); {remedy}") from None


def tensors_of(value: object, path: str | Path, field: str) -> dict[str, torch.Tensor]:
    """`value` if it is a dictionary of plain tensors by name, none larger than its storage; else InputError."""
    if not isinstance(value, dict):
        raise InputError(f"{path}: {field} is missing or no dictionary of tensors")
    for name, tensor in value.items():
        plain = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not isinstance(name, str) or not plain or tensor.is_quantized:
            raise InputError(f"{path}: {field}: {str(name)[:80]} is no plain tensor")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise InputError(f"{path}: {field}: {name[:80]} is larger than what is stored of it")
    return value


def halved(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state in half precision for a small file: weight matrices and kernels only, not statistics and biases."""
    return {
        name: value.half() if value.is_floating_point() and value.dim() > 1 else value for name, value in state.items()
    }


def head_metadata(flame: HeadIdentity) -> dict:
    """What ties a file to a head model, its content hash and the coefficient counts in use; and whose that head is."""
    identity = (flame.content_hash, flame.n_shape, flame.n_expression)
    origin = {f"head_{name}": getattr(flame.provenance, name) for name in ("edition", "licence", "attribution")}
    return dict(zip(IDENTITY, identity, strict=True)) | origin


def coefficient_counts(path: str | Path, kind: str) -> tuple[int, int]:
    """(n_shape, n_expression) in use of the head that one of our files belongs to.

    Raises InputError as `read_metadata` does, and where the file does not name them.
    """
    metadata = read_metadata(path, kind)
    try:
        return int(metadata["n_shape"]), int(metadata["n_expression"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: its metadata do not name its head's coefficient counts; train it again") from None


def refuse_other_head(
    path: str | Path, metadata: dict, flame: HeadIdentity, remedy: str = "train on this head"
) -> None:
    """Raise InputError, ending in `remedy`, unless the file belongs to this head with these coefficient counts."""
    wanted = head_metadata(flame)
    for key in IDENTITY:
        found, expected = metadata.get(key), wanted[key]
        if found != expected:
            short = [str(value)[:12] for value in (found, expected)]
            raise InputError(f"{path}: {key} is {short[0]}, the head in use has {short[1]}: {remedy}")


def fill(module: nn.Module, state: dict[str, torch.Tensor], path: str | Path) -> None:
    """Load a state dict strictly; a missing, unknown, misshapen or not finite tensor is an InputError that names it."""
    own = module.state_dict()
    for name in sorted(own.keys() | state.keys()):
        if name not in state or name not in own:
            raise InputError(f"{path}: tensor {name} is {'missing' if name not in state else 'unknown'}")
        if own[name].shape != state[name].shape:
            raise InputError(f"{path}: tensor {name} is {list(state[name].shape)}, expected {list(own[name].shape)}")
        if state[name].dtype.is_complex or not torch.isfinite(state[name]).all():
            raise InputError(f"{path}: tensor {name} holds values that are not finite numbers")
    module.load_state_dict(state)
