"""A small listing that stands for a large image archive, so that DVC can see a change without hashing every image."""

import hashlib
import logging
from pathlib import Path

from tqdm import tqdm

from mfnet.errors import InputError
from mfnet.io.files import write_json
from mfnet.io.walk import Found, walk
from mfnet.params import SourceParams

log = logging.getLogger(__name__)


def list_archive(root: str | Path) -> dict:
    """Count, bytes and a digest over the path, size and times of change of every file below `root`.

    No file is opened: a file that was written anew is noticed by its times, whatever its size, and `ingest` finds by
    the images' checksums whether anything is another.

    Raises InputError where `root` is missing or holds no file.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; set source.multipie to the root of your Multi-PIE copy")
    digest, files, size, faults = hashlib.sha256(), 0, 0, []
    for found in tqdm(walk(root), desc="listing", unit=" files", disable=None):
        if found.is_folder:
            continue
        length, state = _state(found)
        digest.update(f"{found.path}\0{state}\n".encode())
        files, size = files + 1, size + length
        if state.startswith("unreadable"):
            faults.append(f"{found.path}: {state}")
    if not files:
        raise InputError(f"{root}: no files; set source.multipie to the root of your Multi-PIE copy")
    if faults:
        log.warning("%s: %d files or folders cannot be listed: %s", root, len(faults), "; ".join(faults[:3]))
    return {"files": files, "bytes": size, "sha256": digest.hexdigest()}


def _state(found: Found) -> tuple[int, str]:
    """Bytes of a file, and what tells that it is as it was."""
    if found.fault is not None or found.entry is None:
        return 0, str(found.fault)
    try:
        status = found.entry.stat()
    except OSError as error:
        return 0, f"unreadable: {error.strerror}"
    return status.st_size, f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


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
