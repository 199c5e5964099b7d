"""A small listing that stands for a large image archive, so that DVC can see a change without hashing every image."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from mfnet.errors import InputError
from mfnet.io.files import write_json
from mfnet.params import SourceParams


def list_archive(root: str | Path) -> dict:
    """Count, bytes and a digest over the path and size of every file below `root`.

    No file is opened. A file that changed but kept its size is not noticed: `ingest` has then to be forced.

    Raises InputError where `root` is missing or holds no file.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; set source.multipie to the root of your Multi-PIE copy")
    digest, files, size = hashlib.sha256(), 0, 0
    for path, length in tqdm(_walk(root, ""), desc="listing", unit=" files", disable=None):
        digest.update(f"{path}\0{length}\n".encode(errors="surrogateescape"))
        files, size = files + 1, size + length
    if not files:
        raise InputError(f"{root}: no files; set source.multipie to the root of your Multi-PIE copy")
    return {"files": files, "bytes": size, "sha256": digest.hexdigest()}


def refresh_listing(source: SourceParams, base: str | Path = ".") -> bool:
    """Write the listing of ``source.multipie`` to ``source.archive_listing``; True if it changed.

    Does nothing where DVC watches the archive itself (both name the same folder).
    """
    archive, listing = Path(base, source.multipie), Path(base, source.archive_listing)
    if archive == listing:
        return False
    before = listing.read_bytes() if listing.is_file() else None
    write_json(list_archive(archive), listing)
    return listing.read_bytes() != before


def _walk(root: Path, below: str) -> Iterator[tuple[str, int]]:
    """(posix path relative to root, bytes) of every file, in sorted order."""
    with os.scandir(root / below) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = f"{below}{entry.name}"
            if entry.is_dir():
                yield from _walk(root, f"{path}/")
            else:
                yield path, entry.stat().st_size
