"""Ties a stage's MLflow run to DVC: the params that dvc.yaml lists, the metrics, and the MD5 of every dependency and
output, computed by DVC itself."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import yaml
from dvc.dependency import ParamsDependency
from dvc.repo import Repo
from dvc.stage import Stage

from mfnet import tracking
from mfnet.audit.lineage import lineage
from mfnet.audit.recorded import LOCK, Step, holds_figures, workspace_steps
from mfnet.flame import read_head
from mfnet.flame.provenance import Provenance
from mfnet.licences import HEAD, Licensed, document, manifest, verdict
from mfnet.params import Params
from mfnet.runs.openlineage import Execution, reported
from mfnet.tracking import guarded

EXPERIMENT = "pipeline"
"""The MLflow experiment of all stages."""


class Facts(NamedTuple):
    """What is known of a stage before it runs."""

    name: str
    params: dict
    tags: dict[str, str]
    inputs: dict[str, str]
    """Path -> MD5 of the data that it reads."""


Manifest = Callable[[Mapping[str, str]], Sequence[Licensed]]
"""Path -> MD5 of all that a stage stands on -> what of it others own (`mfnet.licences.manifest`)."""


def recorded(address: str, params: Params) -> AbstractContextManager[tracking.Run]:
    """`tracked` with what these params name of files that others own."""

    def owned(hashes: Mapping[str, str]) -> list[Licensed]:
        head = read_head(f"{HEAD}/head.npz").provenance if HEAD in hashes else Provenance()
        return manifest(params, head, hashes)

    return tracked(address, params.model_dump(mode="json"), owned)


@contextmanager
def tracked(address: str, params: dict, owned: Manifest = lambda hashes: ()) -> Iterator[tracking.Run]:
    """An MLflow run for the DVC stage `address` (``train``, ``ablate@no-eye-6``).

    params: the sections of the params file as the stage uses them; those that dvc.yaml lists are recorded. Outputs are
    hashed and metrics read when the block has ended, so write them inside it. Nothing that goes wrong here stops the
    stage: it is one line on stderr.
    """
    began = time.monotonic()
    facts = Facts(address, {}, {"dvc.stage": address}, {})
    with guarded("the stage's dependencies"):
        facts = _facts(address, params)
    with (
        tracking.run(EXPERIMENT, facts.name, facts.params, facts.tags) as opened,
        reported(_execution(facts)) as outputs,
    ):
        opened.inputs(facts.inputs)
        opened.file(yaml.safe_dump(params, sort_keys=False), "params.yaml")
        yield opened
        opened.metrics({"seconds": time.monotonic() - began, "peak_memory_mib": peak_memory()})
        with guarded("the stage's outputs"), Repo() as repo:
            outs = _stage(repo, address).outs
            outputs |= _hashes(outs)
            opened.tags({tracking.OUT + path: md5 for path, md5 in outputs.items()})
            for out in filter(holds_figures, outs):
                opened.results(json.loads(Path(out.fs_path).read_text(encoding="utf-8")))
            with guarded("licences"):
                _declare(opened, owned(stands_on(facts, outputs)))


def _execution(facts: Facts) -> Execution:
    """What OpenLineage is told of a stage: every input but code."""
    read = {tag.removeprefix(tracking.DEP): md5 for tag, md5 in facts.tags.items() if tag.startswith(tracking.DEP)}
    data = {path: md5 for path, md5 in read.items() if not _is_code(Path(path))}
    params = {key: str(value) for key, value in tracking.flatten(facts.params).items()}
    tags = {key: value for key, value in facts.tags.items() if key.startswith("git.")}
    return Execution(facts.name, facts.tags.get("mlflow.note.content", ""), params, tags, data)


def _is_code(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").is_file()


def stands_on(facts: Facts, made: Mapping[str, str]) -> dict[str, str]:
    """Path -> MD5 of a stage's outputs, its inputs, and all that the lock knows these were made of."""
    steps = workspace_steps(Path()) if Path(LOCK).is_file() else {}
    order, sources = lineage(Step(facts.name, facts.inputs, made, {}), steps, [])
    return {path: md5 for step in order for path, md5 in step.outs.items()} | sources


def _declare(record: tracking.Run, rows: Sequence[Licensed]) -> None:
    """Whose the files are that a run stands on, as a file and in tags."""
    if not rows:
        return
    said = verdict(rows)
    record.file(json.dumps(document(rows), indent=1), "licences.json")
    tags = {"results.may_show": said.may_show, "results.may_show.reason": said.reason}
    record.tags(tags | {f"licence.{row.part}.{row.name}": row.licence for row in rows})


def peak_memory() -> float:
    """Greatest resident memory of this process or of one of its children that have ended, MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(peaks) * unit / 2**20


def _stage(repo: Repo, address: str) -> Stage:
    (stage,) = repo.stage.collect(address)
    return stage


def _facts(address: str, params: dict) -> Facts:
    with Repo() as repo:
        stage = _stage(repo, address)
        listed = [key for entry in stage.deps if isinstance(entry, ParamsDependency) for key in entry.params]
        recorded = {key: value for key in listed if (value := _looked_up(params, key)) is not None}
        tags = {"dvc.stage": address, "mlflow.note.content": stage.desc or "", "mlflow.source.name": str(stage.cmd)}
        if experiment := os.environ.get("DVC_EXP_NAME"):
            tags["dvc.experiment"] = experiment
        sources, read = _sources(repo, stage), _hashes(stage.deps)
        hashes = {tracking.DEP + path: md5 for path, md5 in read.items()}
        data = {path: md5 for path, md5 in read.items() if path not in sources}
        return Facts(address, recorded, tags | _git_tags(sources) | hashes, data)


def _looked_up(tree: dict, path: str) -> object:
    """The value at a dotted path of nested sections; None where there is none."""
    for key in path.split("."):
        if not isinstance(tree, dict) or key not in tree:
            return None
        tree = tree[key]
    return tree


def _hashes(entries: list) -> dict[str, str]:
    """Path -> MD5 of a stage's files, as dvc.lock will name them."""
    hashes = {}
    for entry in entries:
        if not isinstance(entry, ParamsDependency):
            entry.save()
            hashes[entry.def_path] = entry.hash_info.value
    return hashes


def _sources(repo: Repo, stage: Stage) -> list[str]:
    """What is written by hand and decides what a stage does: code, dvc.yaml, params, and deps that no stage makes."""
    made = [Path(out.fs_path) for out in repo.index.outs]
    paths = {"*.py", "dvc.yaml", "params.yaml"}
    for entry in stage.deps:
        path = Path(entry.fs_path)
        apart = not any(path.is_relative_to(out) or out.is_relative_to(path) for out in made)
        if apart and path.is_relative_to(repo.root_dir):
            paths.add(path.relative_to(repo.root_dir).as_posix())
    return sorted(paths)


def _git_tags(sources: list[str]) -> dict[str, str]:
    """Revision, and whether code or params differ from it; no tags in a project that is not under Git."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    try:
        revision, changed = git("rev-parse", "HEAD"), git("status", "--porcelain", "--", *sources)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"git.revision": revision, "mlflow.source.git.commit": revision, "git.dirty": str(bool(changed)).lower()}
