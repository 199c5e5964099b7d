"""Everything below a folder, whatever the tree holds.

Folders that cannot be read or vanish, dangling links, loops of links, pipes, names that are no text: each is a path
with its fault, and none ends the walk.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mfnet.errors import InputError


class Found(NamedTuple):
    """A file or folder below the root of a walk."""

    path: str
    """Relative to the root, with ``/``. What cannot be printed in it, bytes that are no UTF-8 too, is escaped."""
    entry: os.DirEntry[str] | None
    """None where the fault is a folder's."""
    fault: str | None = None
    """Why it cannot be looked into; ``unreadable ...`` where something may be lost with it."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder that could be read; what it holds follows."""
        return self.fault is None and self.entry is not None and self.entry.is_dir()


def walk(root: str | Path, enter: Callable[[str], bool] = lambda path: True) -> Iterator[Found]:
    """Files and folders below `root`, those of a folder by name, before those of its folders.

    enter: whether to look into a folder (its path relative to the root); one that is not entered is left out.

    Raises InputError where `root` itself cannot be read.
    """
    folders: list[tuple[str, frozenset[str]]] = [("", frozenset())]
    while folders:
        folder, linked = folders.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise InputError(f"{root}: cannot be read ({error.strerror})") from None
            yield Found(folder, None, f"unreadable folder: {error.strerror}")
            continue
        inner = []
        for entry in listed:
            path = f"{folder}/{entry.name}" if folder else entry.name
            fault, is_folder = _fault(entry, linked)
            if not path.isprintable():
                path, fault = printable(path), fault or "name is no printable text"
            if is_folder and fault is None:
                if not enter(path):
                    continue
                target = {os.path.realpath(entry.path)} if entry.is_symlink() else set()
                inner.append((path, linked | target))
            yield Found(path, entry, fault)
        folders += reversed(inner)


def printable(path: str) -> str:
    """A path as text of one line, its unprintable characters and the bytes that are no UTF-8 escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _fault(entry: os.DirEntry[str], linked: frozenset[str]) -> tuple[str | None, bool]:
    """(what is wrong, whether it is a folder); linked: real paths of the links that led here."""
    try:
        if entry.is_file():
            return None, False
        if entry.is_dir():
            return ("loop of links" if entry.is_symlink() and _is_loop(entry, linked) else None), True
        entry.stat()  # raises for a dangling link
    except OSError as error:
        return f"unreadable: {error.strerror}", False
    return "not a file", False


def _is_loop(entry: os.DirEntry[str], linked: frozenset[str]) -> bool:
    """Whether a link to a folder leads back to where the walk came from."""
    target, here = os.path.realpath(entry.path), os.path.realpath(os.path.dirname(entry.path))
    return target in linked or f"{here}/".startswith(f"{target.rstrip('/')}/")
