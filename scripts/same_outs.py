"""Compare the outs of two dvc.lock files: the proof that a refactoring changed no result.

    python scripts/same_outs.py OLD NEW

Both locks must come from complete runs of the same machine: last bits differ between processors. Prints each
difference and exits with status 1 if there is any. Dependencies are not compared: code moves, results stay.
"""

import argparse
import sys
from pathlib import Path

import yaml

from mfnet.errors import InputError

RENAMED = {"data/weights/": "data/pretrained/", "/no-multiop-": "/no-flow-", "/no-singlelmk-": "/no-landmarks-"}
"""Part of an old path -> what stands there in the new lock, for artifacts that a refactoring renames."""


def read_outs(path: Path) -> dict[str, str]:
    """Path -> MD5 of every out and metric in a dvc.lock. Raises InputError for a file that is none."""
    try:
        stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: no dvc.lock: stages with outs, each with path and md5, are expected") from None


def new_path(path: str, renamed: dict[str, str]) -> str:
    """The path of an out after the renames."""
    for old, new in renamed.items():
        path = path.replace(old, new)
    return path


def differences(old: dict[str, str], new: dict[str, str], renamed: dict[str, str] = RENAMED) -> list[str]:
    """One line for each out that is missing, added or not equal; `renamed` maps parts of old paths to new ones."""
    moved = {new_path(path, renamed): md5 for path, md5 in old.items()}
    lines = [f"missing: {path}" for path in moved if path not in new]
    lines += [f"added: {path}" for path in new if path not in moved]
    lines += [f"differs: {path}: {md5} is now {new[path]}" for path, md5 in moved.items() if new.get(path, md5) != md5]
    return sorted(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, metavar="OLD", help="dvc.lock before the change")
    parser.add_argument("new", type=Path, metavar="NEW", help="dvc.lock after it")
    args = parser.parse_args()
    try:
        old, new = read_outs(args.old), read_outs(args.new)
    except InputError as error:
        sys.exit(f"{parser.prog}: error: {error}")
    lines = differences(old, new)
    print("\n".join(lines) or f"{len(old)} outs, all equal")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
