"""Random triplets kept on disk, so that runs which draw the very same ones, training and its ablations, draw them once.

They are no artifact: a key of all that they depend on names their folder, and whoever misses them draws them again.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from mfnet.io.files import refusals_named
from mfnet.io.tensors import read_tensors, write_tensors
from mfnet.synthetic.sampler import Sample

KIND = "renders"
KEPT = 4
"""Folders of other keys that stay: the newest ones."""


class RenderStore:
    """The triplets of one key, by name, in ``<root>/<key>``. Processes may share it: files appear whole."""

    def __init__(self, root: str | Path, key: str) -> None:
        self.folder = Path(root) / key
        if self.folder.is_dir():
            return
        with refusals_named(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        older = [folder for folder in self.folder.parent.iterdir() if folder != self.folder]
        for folder in sorted(older, key=_age)[KEPT:]:
            shutil.rmtree(folder, ignore_errors=True)

    def get(self, name: str, draw: Callable[[], Sample]) -> Sample:
        """The triplets of `name`, kept from before or as `draw` makes them."""
        path = self.folder / f"{name}.safetensors"
        if path.is_file():
            return Sample.from_named(read_tensors(path, KIND)[0])
        sample = draw()
        write_tensors(sample.named_tensors(), path, {"kind": KIND})
        return sample


def _age(folder: Path) -> float:
    """Larger for older folders; one that another process removes meanwhile is the oldest."""
    try:
        return -folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0
