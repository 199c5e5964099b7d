"""``mfnet audit`` and ``mfnet verify``: which run and data a number came from; whether stored versions are intact."""

import hashlib
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from mfnet.errors import InputError

CACHE = Path(".dvc/cache/files/md5")


def damaged_objects(cache: str | Path = CACHE) -> tuple[list[Path], int]:
    """Objects of a DVC cache whose bytes no longer hash to their name, and how many were looked at.

    DVC itself trusts read-only objects without reading them, so that a flipped byte passes `dvc status`.

    Raises InputError where there is no cache.
    """
    cache = Path(cache)
    if not cache.is_dir():
        raise InputError(f"{cache}: no DVC cache; run this in the folder of dvc.yaml, after `dvc repro`")
    objects = sorted(path for path in cache.glob("*/*") if path.is_file())
    damaged = []
    for path in tqdm(objects, desc="cache", disable=None):
        with path.open("rb") as opened:
            md5 = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if md5 != path.parent.name + path.name.removesuffix(".dir"):
            damaged.append(path)
    return damaged, len(objects)


def audit(
    lock: Annotated[Path, typer.Option(help="dvc.lock to look at.")] = Path("dvc.lock"),
    store: Annotated[str, typer.Option(help="MLflow tracking store.")] = "sqlite:///mlflow.db",
) -> None:
    """Tell which run and revision made each artifact.

    Joins dvc.lock and MLflow on the MD5 of outputs and dependencies. Exit status 1 if an output is not from a recorded
    run.
    """
    from mfnet.tracking import audit as join_with_runs

    table = join_with_runs(lock, store)
    print(table.to_string(index=False))
    if len(lost := table[table.status != "match"]):
        raise InputError(
            f"{lock}: {len(lost)} outputs are not from a recorded run; `dvc repro -f {lost.stage.iloc[0]}`"
        )


def verify() -> None:
    """Read every object of the DVC cache and compare it with its hash; exit status 1 if one is damaged."""
    damaged, count = damaged_objects()
    if damaged:
        names = ", ".join(map(str, damaged[:5])) + (" ..." if len(damaged) > 5 else "")
        raise InputError(f"{len(damaged)} of {count} cached objects are damaged: {names}; delete them, `dvc repro`")
    print(f"{count} cached objects are what their names say")
