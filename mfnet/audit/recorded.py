"""What DVC has recorded: the steps in dvc.lock, of the workspace or of a revision, and versions in its cache."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from mfnet.errors import InputError
from mfnet.tracking import DEP, OUT, flatten

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo
    from mlflow.entities import Run

LOCK = "dvc.lock"


@dataclass(frozen=True)
class Step:
    """One execution of a stage: what went in and what came out, by path and MD5."""

    stage: str
    deps: Mapping[str, str]
    outs: Mapping[str, str]
    params: Mapping[str, object]
    """By dotted key."""
    command: str = ""
    run: str = ""
    """Id of the MLflow run, where one has recorded it."""
    revision: str = ""
    dirty: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


@contextmanager
def opened(root: Path) -> "Iterator[Repo]":
    """DVC's view of the workspace; raises InputError where there is none or it cannot be read."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            yield repo
    except DvcException as error:
        raise InputError(f"{root}: {' '.join(str(error).split())}") from None


def git(root: Path, *words: str) -> str:
    """Output of a git command; raises InputError, with git's own words, where it fails."""
    try:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise InputError("git: no such program; install it") from None
    except subprocess.CalledProcessError as error:
        raise InputError(f"git {words[0]}: {' '.join(error.stderr.split())}") from None


def steps_of_lock(text: str, revision: str = "") -> dict[str, Step]:
    """Address -> step of a dvc.lock. Raises InputError for a text that is none."""
    try:
        stages = (yaml.safe_load(text) or {}).get("stages") or {}
        return {address: _step(address, record, revision) for address, record in stages.items()}
    except (yaml.YAMLError, AttributeError, TypeError, KeyError) as error:
        raise InputError(f"{LOCK}: not a lock of DVC ({' '.join(str(error).split())}); `git checkout {LOCK}`") from None


def _step(address: str, record: dict, revision: str) -> Step:
    hashes = {
        kind: {entry["path"]: _hash(entry) for entry in record.get(kind, []) if _hash(entry)}
        for kind in ("deps", "outs")
    }
    params: dict[str, object] = {}
    for values in record.get("params", {}).values():
        params |= flatten(values)
    return Step(address, hashes["deps"], hashes["outs"], params, str(record["cmd"]), revision=revision)


def _hash(entry: dict) -> str:
    return entry.get(entry.get("hash", "md5"), entry.get("md5", ""))


def workspace_steps(root: Path) -> dict[str, Step]:
    """Address -> step of the workspace's lock. Raises InputError where it is missing."""
    path = root / LOCK
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `dvc repro` first")
    return steps_of_lock(path.read_text(encoding="utf-8"))


def holds_figures(out: "Output") -> bool:
    """Whether an output is a file of figures: JSON that git keeps. Few of them are metrics to DVC, which shows all."""
    return not out.use_cache and out.def_path.endswith(".json")


def versions_in_lock(root: Path) -> dict[str, str]:
    """Path -> MD5 of every file and folder in the workspace's lock; nothing where there is no lock."""
    if not (root / LOCK).is_file():
        return {}
    steps = workspace_steps(root).values()
    return {path: md5 for step in steps for path, md5 in step.deps.items()} | {
        path: md5 for step in steps for path, md5 in step.outs.items()
    }


def revision_steps(root: Path, revision: str) -> dict[str, Step]:
    """Address -> step of the lock at a git revision."""
    return steps_of_lock(git(root, "show", f"{revision}:./{LOCK}"), git(root, "rev-parse", revision).strip())


def step_of_run(run: "Run") -> Step:
    """What an MLflow run of a stage has recorded."""
    tags = run.data.tags
    hashes = {
        prefix: {tag.removeprefix(prefix): md5 for tag, md5 in tags.items() if tag.startswith(prefix)}
        for prefix in (DEP, OUT)
    }
    return Step(
        tags.get("dvc.stage", str(run.info.run_name)),
        hashes[DEP],
        hashes[OUT],
        run.data.params,
        tags.get("mlflow.source.name", ""),
        run.info.run_id,
        tags.get("git.revision", ""),
        tags.get("git.dirty", ""),
        run.data.metrics,
    )


def run_named(name: str, runs: Sequence[Step]) -> Step | None:
    """The run whose id is, or begins with, `name`; None where there is none. Raises InputError for several."""
    found = [run for run in runs if run.run.startswith(name)]
    if len(found) > 1:
        raise InputError(f"{name}: the beginning of {len(found)} runs; give more of the id")
    return found[0] if found else None


@dataclass(frozen=True)
class Cache:
    """DVC's cache: versions by their MD5."""

    root: Path

    def path(self, md5: str) -> Path:
        """Where a version lies, if it is there."""
        return self.root / md5[:2] / md5[2:]

    def files(self, md5: str) -> dict[str, str] | None:
        """Relative path -> MD5 of a folder's version (``.dir``); None where its list is lost or unreadable."""
        try:
            return {entry["relpath"]: entry["md5"] for entry in json.loads(self.path(md5).read_text(encoding="utf-8"))}
        except (OSError, ValueError, KeyError, TypeError):
            return None


def cache_of(repo: "Repo") -> Cache:
    """The cache that a workspace uses."""
    return Cache(Path(repo.cache.local.path))
