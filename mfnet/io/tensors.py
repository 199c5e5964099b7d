"""Tensor files: ours, safetensors whose one metadata entry says what they hold and which head model they belong to, and
those of others in torch's own format.
"""

import json
import warnings
from pathlib import Path
from typing import Annotated, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from mfnet.errors import InputError
from mfnet.io.files import atomic_path, parse_json
from mfnet.io.pickle_names import Refused
from mfnet.io.torch_pickle import check_torch_file
from mfnet.params import describe

ENTRY = "mfnet"
"""All metadata is one JSON text under one key: safetensors writes several keys in random order, so that two equal files
would differ in their bytes and DVC would see a change."""


class HeadIdentity(Protocol):
    """What of a head model ties files to it; its whole class would make every stage depend on the head's code."""

    content_hash: str
    n_shape: int
    n_expression: int


def write_tensors(state: dict[str, torch.Tensor], path: str | Path, metadata: dict) -> None:
    """Write tensors and metadata (JSON values, with a ``kind``), atomically; equal contents give equal bytes."""
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    with atomic_path(path) as beside:
        save_file(tensors, beside, metadata={ENTRY: json.dumps(metadata, sort_keys=True)})


def read_tensors(path: str | Path, kind: str) -> tuple[dict[str, torch.Tensor], dict]:
    """Tensors (half precision widened to float32) and metadata of one of our files of the given kind.

    Raises InputError if the file is missing, not safetensors, not ours, or of another kind.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            text = (file.metadata() or {}).get(ENTRY, "{}")
            state = {name: file.get_tensor(name) for name in file.keys()}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that writes it") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:  # the two last: dtypes that torch has not
        raise InputError(f"{path}: not a readable safetensors file: {' '.join(str(error).split())}") from None
    metadata = _checked_metadata(text, path)
    if metadata.get("kind") != kind:
        raise InputError(f"{path}: holds {metadata.get('kind', 'something not ours')}, expected {kind}")
    widened = {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in state.items()}
    return widened, metadata


class Metadata(BaseModel):
    """What the files' metadata say, whatever their kind; more than that is left as it is."""

    model_config = ConfigDict(strict=True, extra="allow")

    kind: Annotated[str, Field(max_length=64)] = "something not ours"
    head_hash: Annotated[str, Field(max_length=128)] = ""
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
    """What ties a file to a head model: its content hash and the coefficient counts in use."""
    return {"head_hash": flame.content_hash, "n_shape": flame.n_shape, "n_expression": flame.n_expression}


def coefficient_counts(path: str | Path, kind: str) -> tuple[int, int]:
    """(n_shape, n_expression) in use of the head that one of our files belongs to.

    Raises InputError as `read_tensors` does, and where the file does not name them.
    """
    _, metadata = read_tensors(path, kind)
    try:
        return int(metadata["n_shape"]), int(metadata["n_expression"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: its metadata do not name its head's coefficient counts; train it again") from None


def refuse_other_head(
    path: str | Path, metadata: dict, flame: HeadIdentity, remedy: str = "train on this head"
) -> None:
    """Raise InputError, ending in `remedy`, unless the file belongs to this head with these coefficient counts."""
    for key, expected in head_metadata(flame).items():
        found = metadata.get(key)
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
