"""One file out of a zip archive from outside; no more memory than its caller allows."""

import io
import zipfile
import zlib

from mfnet.errors import InputError
from mfnet.io.npz import check_directory

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


def read_member(archive: bytes, name: str, limit: int, where: object) -> bytes:
    """The file `name`, of at most `limit` bytes, in a zip archive whose bytes are given.

    Raises InputError, which names `where`, for what is no whole zip file, lacks `name`, or unpacks to more.
    """
    stream = io.BytesIO(archive)
    check_directory(stream, str(where))
    try:
        with zipfile.ZipFile(stream) as opened, opened.open(name) as member:
            content = member.read(limit + 1)
    except KeyError:
        raise InputError(f"{where}: holds no {name}") from None
    except _DAMAGED as error:
        raise InputError(f"{where}: {name} is damaged ({' '.join(str(error).split())[:120]})") from None
    if len(content) > limit:
        raise InputError(f"{where}: {name} is larger than the {limit} bytes that it should have")
    return content
