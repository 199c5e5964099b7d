"""A hash of the package's own code: the key of half-done work, so that what old code left behind is not taken up."""

import functools
import hashlib
from pathlib import Path

import mfnet


@functools.cache
def code_hash(*parts: str) -> str:
    """SHA-256 over the package's Python sources, or over those of some rooms and files (paths below the package)."""
    root = Path(mfnet.__file__).parent
    places = [root / part for part in parts or ["."]]
    files = {file for place in places for file in (place.rglob("*.py") if place.is_dir() else [place])}
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
