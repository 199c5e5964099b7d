"""What is not as recorded: workspace, cache, params, code and lock, every stage, everything read anew."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mfnet.audit.hashing import file_md5, tree_md5
from mfnet.audit.recorded import LOCK, Cache, Step, cache_of, git
from mfnet.errors import InputError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage

SHOWN = 3
"""Names that stand for a longer list."""


class Finding(NamedTuple):
    """One thing that is not as recorded."""

    stage: str
    path: str
    kind: str
    detail: str
    remedy: str


def damage(repo: "Repo", steps: Mapping[str, Step]) -> list[Finding]:
    """Everything that differs from the lock's `steps`.

    Kinds: ``never run``, ``left over`` (a step of no stage), ``command``, ``params``, ``code`` (a dependency under
    git), ``input`` (another one), ``lock`` (a stage's input is not what the stage before it made), ``missing`` and
    ``changed`` outputs, ``lost`` and ``damaged`` versions in the cache.
    """
    from dvc.stage import PipelineStage

    stages = {str(stage.addressing): stage for stage in repo.index.stages if isinstance(stage, PipelineStage)}
    found = [
        Finding(address, LOCK, "left over", "no stage of dvc.yaml", f"remove it from {LOCK}")
        for address in steps.keys() - stages.keys()
    ]
    made = {path: (step.stage, md5) for step in steps.values() for path, md5 in step.outs.items()}
    above = {folder.as_posix() for path in made for folder in Path(path).parents}
    code = _under_git(Path(repo.root_dir)) - above
    cache = cache_of(repo)
    for address, stage in stages.items():
        if (step := steps.get(address)) is None:
            found.append(Finding(address, LOCK, "never run", "no record of this stage", f"dvc repro {address}"))
            continue
        found += _of_command(stage, step)
        found += _of_params(stage)
        found += _of_inputs(repo, stage, step, made, code)
        found += _of_outputs(repo, stage, step, cache)
    return found


def _under_git(root: Path) -> set[str]:
    """Files under git and the folders that hold them, relative to `root`; nothing without git."""
    try:
        files = [Path(name) for name in git(root, "ls-files", "-z").split("\0") if name]
    except InputError:
        return set()
    return {each.as_posix() for file in files for each in (file, *file.parents)}


def _of_command(stage: "Stage", step: Step) -> Iterator[Finding]:
    if str(stage.cmd) != step.command:
        yield Finding(
            step.stage, "dvc.yaml", "command", f"`{step.command}` is now `{stage.cmd}`", f"dvc repro {step.stage}"
        )


def _of_params(stage: "Stage") -> Iterator[Finding]:
    from dvc.dependency import ParamsDependency

    for entry in stage.deps:
        if isinstance(entry, ParamsDependency):
            recorded: Any = entry.hash_info.value or {}  # of params: values, by key
            now = entry.read_params()
            for key in sorted({*recorded, *now, *entry.params}):
                if (old := recorded.get(key)) != (new := now.get(key)):
                    detail = "; ".join(_changed_keys(key, old, new)[:SHOWN])
                    remedy = f"dvc repro {stage.addressing}, or put the value back"
                    yield Finding(stage.addressing, f"{entry.def_path}:{key}", "params", detail, remedy)


def _changed_keys(key: str, old: object, new: object) -> list[str]:
    """``key: old -> new`` of every leaf that differs."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        inner = sorted({*old, *new})
        return [line for each in inner for line in _changed_keys(f"{key}.{each}", old.get(each), new.get(each))]
    return [] if old == new else [f"{key}: {old} -> {new}"]


def _of_inputs(
    repo: "Repo", stage: "Stage", step: Step, made: Mapping[str, tuple[str, str]], code: set[str]
) -> Iterator[Finding]:
    from dvc.dependency import ParamsDependency

    entries = {entry.def_path: Path(entry.fs_path) for entry in stage.deps if not isinstance(entry, ParamsDependency)}
    rerun = f"dvc repro {step.stage}"
    for path in sorted(step.deps.keys() - entries.keys()):
        yield Finding(step.stage, path, "lock", "recorded, but no dependency in dvc.yaml", rerun)
    for path, place in entries.items():
        if path not in step.deps:
            yield Finding(step.stage, path, "lock", "a dependency that is not recorded", rerun)
        elif path in made:
            maker, md5 = made[path]
            if md5 != step.deps[path]:
                detail = f"{step.stage} has used {step.deps[path]}, {maker} has made {md5}"
                yield Finding(step.stage, path, "lock", detail, f"git checkout dvc.lock, or {rerun}")
        elif not place.exists():
            yield Finding(step.stage, path, "missing", "an input", "put it back")
        else:
            now, _ = tree_md5(repo, place)
            if now != step.deps[path]:
                kind, remedy = ("code", f"git diff -- {path}; {rerun}") if path in code else ("input", rerun)
                yield Finding(step.stage, path, kind, f"{step.deps[path]} recorded, {now} here", remedy)


def _of_outputs(repo: "Repo", stage: "Stage", step: Step, cache: Cache) -> Iterator[Finding]:
    entries = {out.def_path: out for out in stage.outs}
    for path in sorted(entries.keys() ^ step.outs.keys()):
        yield Finding(step.stage, path, "lock", "outputs recorded and in dvc.yaml differ", f"dvc repro {step.stage}")
    for path in sorted(entries.keys() & step.outs.keys()):
        md5, place = step.outs[path], Path(entries[path].fs_path)
        whole = not entries[path].use_cache  # there is no version of it in the cache
        if entries[path].use_cache:
            lost = list(_of_cache(step.stage, path, md5, cache))
            yield from lost
            whole = not lost
        remedy = f"dvc checkout {path}" if whole and entries[path].use_cache else f"dvc repro -f {step.stage}"
        if not place.exists():
            yield Finding(step.stage, path, "missing", "not in the workspace", remedy)
            continue
        now, files = tree_md5(repo, place)
        if now != md5:
            detail = _folder_detail(files, cache.files(md5)) if files else _rows_detail(place, cache.path(md5))
            detail = detail or f"{md5} recorded, {now} here"
            yield Finding(step.stage, path, "changed", detail, remedy)


def _of_cache(stage: str, path: str, md5: str, cache: Cache) -> Iterator[Finding]:
    """Lost and damaged versions behind one output: the file itself, or a folder's list and all its files."""
    objects = {path: md5}
    if md5.endswith(".dir"):
        objects |= {f"{path}/{name}": each for name, each in (cache.files(md5) or {}).items()}
    for name, each in objects.items():
        place = cache.path(each)
        if not place.is_file():
            yield Finding(stage, name, "lost", f"no {place}", f"dvc fetch, or dvc repro -f {stage}")
        elif (now := file_md5(place)) != each.removesuffix(".dir"):
            remedy = f"delete it; dvc fetch, or dvc repro -f {stage}"
            yield Finding(stage, name, "damaged", f"{place} has MD5 {now}", remedy)


def _folder_detail(now: Mapping[str, str], recorded: Mapping[str, str] | None) -> str:
    if recorded is None:
        return ""
    names = {
        "added": sorted(now.keys() - recorded.keys()),
        "missing": sorted(recorded.keys() - now.keys()),
        "changed": sorted(name for name in now.keys() & recorded.keys() if now[name] != recorded[name]),
    }
    return "; ".join(
        f"{len(found)} {kind}: {', '.join(found[:SHOWN])}{' ...' if len(found) > SHOWN else ''}"
        for kind, found in names.items()
        if found
    )


def _rows_detail(now: Path, recorded: Path) -> str:
    """Rows of two versions of a table, where their numbers differ."""
    if now.suffix != ".parquet" or not recorded.is_file():
        return ""
    import pyarrow.parquet
    from pyarrow import ArrowInvalid

    try:
        here, there = (pyarrow.parquet.read_metadata(path).num_rows for path in (now, recorded))
    except (ArrowInvalid, OSError):
        return "not a readable table"
    return "" if here == there else f"{there} rows recorded, {here} here"
