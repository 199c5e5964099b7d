"""``mfnet audit``: which run and data a number came from, and whether stored versions are still what they say."""

import hashlib
from pathlib import Path

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


def add_commands(subparsers) -> None:
    """Add ``audit`` to the ``mfnet`` command."""
    parser = subparsers.add_parser(
        "audit",
        help="which run made which artifact",
        description="Join dvc.lock and MLflow on the MD5 of outputs and dependencies; exit status 1 if one has no run.",
    )
    parser.add_argument("--lock", default="dvc.lock", help="default: %(default)s")
    parser.add_argument("--store", default="sqlite:///mlflow.db", help="MLflow tracking store (default: %(default)s)")
    parser.add_argument("--cache", action="store_true", help="re-hash every object of the DVC cache instead")
    parser.set_defaults(run=_audit)


def _audit(args) -> None:
    if args.cache:
        damaged, count = damaged_objects()
        if damaged:
            names = ", ".join(map(str, damaged[:5])) + (" ..." if len(damaged) > 5 else "")
            raise InputError(f"{len(damaged)} of {count} cached objects are damaged: {names}; delete them, `dvc repro`")
        print(f"{count} cached objects are what their names say")
        return
    from mfnet.tracking import audit

    table = audit(args.lock, args.store)
    print(table.to_string(index=False))
    if len(lost := table[table.status != "match"]):
        raise InputError(
            f"{args.lock}: {len(lost)} outputs are not from a recorded run; `dvc repro -f {lost.stage.iloc[0]}`"
        )
