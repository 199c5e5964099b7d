"""Ties a stage's MLflow run to DVC: the MD5 of every dependency and output, computed by DVC itself."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from mfnet import tracking


def _hashes(address: str, kind: str) -> dict[str, str]:
    """Path -> MD5 of the dependencies ("deps") or outputs ("outs") of a stage, as dvc.lock will name them."""
    from dvc.dependency import ParamsDependency
    from dvc.repo import Repo

    with Repo() as repo:
        (stage,) = repo.stage.collect(address)
        hashes = {}
        for entry in getattr(stage, kind):
            if not isinstance(entry, ParamsDependency):
                entry.save()
                hashes[entry.def_path] = entry.hash_info.value
        return hashes


def _git_tags() -> dict[str, str]:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()

    dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
    return {"git.revision": git("rev-parse", "HEAD"), "git.dirty": str(dirty).lower()}


@contextmanager
def tracked(address: str, experiment: str, name: str, params: dict) -> Iterator[tracking.Run]:
    """An MLflow run for the stage `address`; outputs are hashed when the block has ended, so write them inside it."""
    tags = {"dvc.stage": address} | _git_tags()
    tags |= {tracking.DEP + path: md5 for path, md5 in _hashes(address, "deps").items()}
    with tracking.run(experiment, name, params, tags) as opened:
        yield opened
        opened.tags({tracking.OUT + path: md5 for path, md5 in _hashes(address, "outs").items()})
