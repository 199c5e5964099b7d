"""Tensor files: ours, safetensors whose one metadata entry says what they hold and which head model they belong to, and
those of others in torch's own format.
"""

import json
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from mfnet.errors import InputError
from mfnet.io.files import atomic_path

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
            metadata = json.loads((file.metadata() or {}).get(ENTRY, "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that writes it") from None
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a readable safetensors file: {' '.join(str(error).split())}") from None
    if metadata.get("kind") != kind:
        raise InputError(f"{path}: holds {metadata.get('kind', 'something not ours')}, expected {kind}")
    widened = {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in state.items()}
    return widened, metadata


def load_torch(path: str | Path, remedy: str, device: torch.device | str = "cpu") -> object:
    """What `torch.save` wrote, tensors and plain Python values only: nothing in the file is run.

    Raises InputError, ending in `remedy`, if the file is missing, damaged, or holds anything else.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {remedy}") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not a torch file of plain tensors ({reason}); {remedy}") from None


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
    """Load a state dict strictly; a missing, unknown or misshapen tensor is an InputError that names it."""
    own = module.state_dict()
    for name in sorted(own.keys() | state.keys()):
        if name not in state or name not in own:
            raise InputError(f"{path}: tensor {name} is {'missing' if name not in state else 'unknown'}")
        if own[name].shape != state[name].shape:
            raise InputError(f"{path}: tensor {name} is {list(state[name].shape)}, expected {list(own[name].shape)}")
    module.load_state_dict(state)
