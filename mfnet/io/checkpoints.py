"""Checkpoints: everything that an interrupted run needs to end with the same weights as an undisturbed one.

They live outside the artifacts, in a folder named by a key of all that the result depends on, so that a run can only
ever be resumed by the same run, and they are removed when the result is there.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch

from mfnet.errors import InputError
from mfnet.io.code import code_hash
from mfnet.io.files import atomic_path, file_hash
from mfnet.io.tensors import load_torch, save_torch

FORMAT = 1
"""Raised when the content of a checkpoint changes its meaning."""


def run_key(settings: dict, inputs: Iterable[str | Path]) -> str:
    """A hash over settings (plain JSON values), the content of the input files, and the code of the package."""
    parts = {
        "format": FORMAT,
        "settings": settings,
        "inputs": [[Path(path).name, file_hash(path)] for path in inputs],
        "code": code_hash(),
        "torch": torch.__version__,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


class Checkpoints:
    """The one newest checkpoint of a run, in ``<root>/<key>/last.pt``."""

    def __init__(self, root: str | Path, key: str) -> None:
        self.folder = Path(root) / key
        self.path = self.folder / "last.pt"

    def save(self, state: dict) -> None:
        """Replace the checkpoint: tensors and plain Python values only. A kill leaves the old one or the new one."""
        with atomic_path(self.path) as beside:
            with open(beside, "wb") as file:
                save_torch(state, file)
                file.flush()
                os.fsync(file.fileno())

    def load(self, device: torch.device | str = "cpu") -> dict | None:
        """The checkpoint, or None where there is none. Raises InputError for a damaged file."""
        if not self.path.exists():
            return None
        state = load_torch(self.path, f"remove {self.folder} to start over", device)
        if not isinstance(state, dict):
            raise InputError(f"{self.path}: no checkpoint; remove {self.folder} to start over")
        return state

    def remove(self) -> None:
        """Remove this run's folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
