"""Weights that ship with the package, one safetensors file and one model card a network."""

from importlib import resources
from pathlib import Path

from mfnet.errors import InputError


def bundled(network: str) -> Path:
    """The file of `network` that is shipped with the package; InputError if there is none."""
    path = Path(str(resources.files(__name__))) / f"{network}.safetensors"
    if not path.is_file():
        raise InputError(f"pretrained.{network}.source: no {network} weights are shipped; set it to train")
    return path
