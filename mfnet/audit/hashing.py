"""MD5s of what is on disk, read anew: DVC's own memory of files goes by their times, which a bad disk keeps."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc.repo import Repo


def file_md5(path: Path) -> str:
    """MD5 of a file's bytes."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def tree_md5(repo: "Repo", path: Path) -> tuple[str, dict[str, str]]:
    """DVC's MD5 of a file or folder (``....dir``), and relative path -> MD5 of a folder's files.

    What .dvcignore names is left out, as DVC does.
    """
    from dvc.fs import localfs
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_data.hashfile.tree import Tree

    forgetful = HashFileDB(localfs, str(path))  # a database without state: nothing is known beforehand
    _, _, built = build(forgetful, str(path), localfs, "md5", dry_run=True, ignore=repo.dvcignore)  # pyright: ignore[reportArgumentType]
    files = {"/".join(key): str(info.value) for key, _, info in built if info} if isinstance(built, Tree) else {}
    assert built.hash_info is not None  # it has just been computed
    return str(built.hash_info.value), files
