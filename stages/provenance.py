"""Ties a stage's MLflow run to DVC: the params that dvc.yaml lists, the metrics, and the MD5 of every dependency and
output, computed by DVC itself."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dvc.dependency import ParamsDependency
from dvc.repo import Repo

from mfnet import tracking

EXPERIMENTS = {"train": "training", "ablate": "training", "benchmark": "benchmark"}
"""Stage -> MLflow experiment: runs that are compared with each other share one. All other stages: ``pipeline``."""


@contextmanager
def tracked(address: str, params: dict) -> Iterator[tracking.Run]:
    """An MLflow run for the DVC stage `address` (``train``, ``ablate@no-eye-6``).

    params: the sections of the params file as the stage uses them; those that dvc.yaml lists are recorded. Outputs are
    hashed and metrics read when the block has ended, so write them inside it.
    """
    with Repo() as repo:
        (stage,) = repo.stage.collect(address)
        listed = [key for entry in stage.deps if isinstance(entry, ParamsDependency) for key in entry.params]
        recorded = {key: value for key in listed if (value := _looked_up(params, key)) is not None}
        tags = {"dvc.stage": address} | _git_tags() | _hashes(stage.deps, tracking.DEP)
        name, _, item = address.partition("@")
        experiment = EXPERIMENTS.get(name, "pipeline")
        began = time.monotonic()
        with tracking.run(experiment, item if item and experiment != "pipeline" else address, recorded, tags) as opened:
            yield opened
            opened.metrics({"seconds": time.monotonic() - began, "peak_memory_mib": peak_memory()})
            opened.tags(_hashes(stage.outs, tracking.OUT))
            for out in stage.outs:
                if out.metric:
                    opened.results(json.loads(Path(out.fs_path).read_text(encoding="utf-8")))


def peak_memory() -> float:
    """Greatest resident memory of this process or of one of its children that have ended, MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(peaks) * unit / 2**20


def _looked_up(tree: dict, path: str) -> object:
    """The value at a dotted path of nested sections; None where there is none."""
    for key in path.split("."):
        if not isinstance(tree, dict) or key not in tree:
            return None
        tree = tree[key]
    return tree


def _hashes(entries: list, prefix: str) -> dict[str, str]:
    """`prefix` + path -> MD5 of a stage's files, as dvc.lock will name them."""
    hashes = {}
    for entry in entries:
        if not isinstance(entry, ParamsDependency):
            entry.save()
            hashes[prefix + entry.def_path] = entry.hash_info.value
    return hashes


def _git_tags() -> dict[str, str]:
    """Revision and whether tracked files differ from it; no tags in a project that is not under Git."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
        return {"git.revision": git("rev-parse", "HEAD"), "git.dirty": str(dirty).lower()}
    except (OSError, subprocess.CalledProcessError):
        return {}
