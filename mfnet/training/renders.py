"""Random triplets kept on disk, so that runs which draw the very same ones, training and its ablations, draw them once.

They are no artifact: a key of all that they depend on names their folder, and whoever misses them draws them again.
"""

import fcntl
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from mfnet.io.files import refusals_named
from mfnet.io.tensors import read_tensors, write_tensors
from mfnet.synthetic.sampler import Sample

KIND = "renders"
KEPT = 4
"""Folders of other keys that stay: the newest ones."""
POLL = 0.05
"""Seconds between two looks at what another process draws."""


class RenderStore:
    """The triplets of one key, by step and rank, in ``<root>/<key>``. Processes may share it: files appear whole."""

    def __init__(self, root: str | Path, key: str) -> None:
        self.folder = Path(root) / key
        if self.folder.is_dir():
            return
        with refusals_named(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        older = [folder for folder in self.folder.parent.iterdir() if folder != self.folder]
        for folder in sorted(older, key=_age)[KEPT:]:
            shutil.rmtree(folder, ignore_errors=True)

    def get(self, step: int, rank: int, draw: Callable[[int], Sample], steps: int) -> Sample:
        """The triplets of a step, kept from before or as `draw` makes them.

        While another process draws them this one draws those of later steps, of `steps` in all, so that two runs that
        begin together share the work.
        """
        path, ahead = self._path(step, rank), step
        while not path.is_file():
            self._make(ahead, rank, draw)
            ahead += 1
            if ahead >= steps and not path.is_file():
                time.sleep(POLL)
                ahead = step  # whoever was at it may have died
        return Sample.from_named(read_tensors(path, KIND)[0])

    def _path(self, step: int, rank: int) -> Path:
        return self.folder / f"{step}-{rank}.safetensors"

    def _make(self, step: int, rank: int, draw: Callable[[int], Sample]) -> None:
        """Draw and keep the triplets of a step, unless they are there or another process is at it."""
        path = self._path(step, rank)
        if path.is_file():
            return
        with refusals_named(self.folder), open(self.folder / "drawing", "wb") as file:
            try:  # a byte of the file for each step; the lock ends with the process, however it ends
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, (rank << 32) + step)
            except (BlockingIOError, PermissionError):
                return
            if not path.is_file():
                write_tensors(draw(step).named_tensors(), path, {"kind": KIND})


def _age(folder: Path) -> float:
    """Larger for older folders; one that another process removes meanwhile is the oldest."""
    try:
        return -folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0
