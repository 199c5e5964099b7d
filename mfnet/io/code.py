"""A hash of the package's own code: the key of half-done work, so that what old code left behind is not taken up."""

import functools
import hashlib
from pathlib import Path

import mfnet


@functools.cache
def code_hash() -> str:
    """SHA-256 over the package's Python sources."""
    root = Path(mfnet.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
