"""A network's architecture in the metadata of its file, and back.

Files are artifacts: their bytes stay as they are while the params are renamed. So they spell ``model.pooling`` as it
was called when the shipped weights were made, ``head: pool | flat``, and here is the one place that knows it.
"""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mfnet.errors import InputError
from mfnet.params import ModelParams, describe

MAX_ALBEDO = 1000
"""Albedo coefficients of a network in a file; FLAME's texture space has 200."""


def architecture_metadata(params: ModelParams) -> dict[str, Any]:
    """The architecture as files hold it."""
    return params.model_dump()


def stored_architecture(metadata: dict[str, Any], path: str | Path) -> ModelParams:
    """The architecture from a file's metadata. Raises InputError, which names the file at `path`, where it has none."""
    try:
        params = ModelParams.model_validate(metadata.get("model") or {})
    except ValidationError as error:
        raise InputError(f"{path}: metadata names no architecture of ours: {describe(error, 'model')}") from None
    if params.n_albedo > MAX_ALBEDO:  # the network is built before its tensors are looked at
        raise InputError(f"{path}: metadata: model.n_albedo is {params.n_albedo}, more than {MAX_ALBEDO}")
    return params
