"""Both ends of a million files: opened, measured and compared by compiled code.

In Python the interpreter costs as much as the system's calls. The compiled loop says of each file only whether it is as
expected; whoever asks looks at the others again, one by one, and finds out why they are not.
"""

import ctypes
import os
import sys
from typing import NamedTuple

import numba
import numpy as np
from numba.core import types

AT_FDCWD, AT_EMPTY_PATH, STATX_BASIC_STATS = -100, 0x1000, 0x7FF
"""Of Linux's fcntl.h and stat.h."""
_STATX_BYTES = 256
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_REGULAR, _KIND = 0o100000, 0o170000

# Addresses are passed as whole numbers. All are in the C library, which the process has loaded.
_openat = types.ExternalFunction("openat", types.int32(types.int32, types.intp, types.int32))
_statx = types.ExternalFunction("statx", types.int32(types.int32, types.intp, types.int32, types.uint32, types.intp))
_pread = types.ExternalFunction("pread", types.intp(types.int32, types.intp, types.intp, types.int64))
_close = types.ExternalFunction("close", types.int32(types.int32))


class Glance(NamedTuple):
    """What many files are, in their order."""

    expected: np.ndarray
    """[N] bool: a regular file that begins and ends as asked for."""
    tails: np.ndarray
    """[N, T] uint8, the last bytes; of a file that is as expected."""
    states: np.ndarray
    """[N, 3] int64: bytes, and the times of change of content and inode, ns; of a file that is as expected."""


def glance(root: str, files: list[tuple[str, list[str]]], head: bytes, tail: bytes, more: int) -> Glance:
    """Which files begin with `head` and end with `tail`, and the ``more`` bytes before that with it.

    files: folders below `root`, each with names of files in it. A pipe is not waited for. Where the system is not Linux
    no file is as expected.
    """
    counts = np.array([len(names) for _, names in files], np.int64)
    total = int(counts.sum())
    found = Glance(np.zeros(total, bool), np.zeros((total, more + len(tail)), np.uint8), np.zeros((total, 3), np.int64))
    if total and _can_glance():
        words = [word for folder, names in files for word in (os.path.join(root, folder), *names)]
        letters = np.frombuffer(os.fsencode("\0".join(["", *words, ""])), np.uint8)
        starts = np.flatnonzero(letters == 0)[:-1] + 1
        if len(starts) == len(words):  # a zero byte in a name would shift all that follow
            wanted = [np.frombuffer(part, np.uint8) for part in (head, tail)]
            _glance(letters, starts, counts, wanted[0], wanted[1], found.expected, found.tails, found.states)
    return found


def _can_glance() -> bool:
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "statx")


@numba.njit(cache=True, nogil=True)
def _glance(
    letters: np.ndarray,
    starts: np.ndarray,
    counts: np.ndarray,
    head: np.ndarray,
    tail: np.ndarray,
    expected: np.ndarray,
    tails: np.ndarray,
    states: np.ndarray,
) -> None:
    """letters: each folder's path and then its files' names, with zero bytes between; the first one is the empty path
    of `statx`. starts: of those words. counts: files of each folder, which is held open while they are looked at."""
    first = np.zeros(len(head), np.uint8)
    state = np.zeros(_STATX_BYTES, np.uint8)
    words, longs, halves = state.view(np.int64), state.view(np.uint32), state.view(np.uint16)
    length, word, index = tails.shape[1], 0, 0
    for count in counts:
        place = _openat(AT_FDCWD, letters.ctypes.data + starts[word], _FOLDER_FLAGS)
        for _ in range(count):
            word += 1
            file = _openat(place, letters.ctypes.data + starts[word], _FLAGS) if place >= 0 else place
            if file >= 0:
                if (
                    _statx(file, letters.ctypes.data, AT_EMPTY_PATH, STATX_BASIC_STATS, state.ctypes.data) == 0
                    and (halves[14] & _KIND) == _REGULAR
                    and words[5] >= length
                    and _pread(file, first.ctypes.data, len(head), 0) == len(head)
                    and _pread(file, tails.ctypes.data + index * length, length, words[5] - length) == length
                ):
                    states[index, 0] = words[5]
                    states[index, 1] = words[14] * 1_000_000_000 + longs[30]
                    states[index, 2] = words[12] * 1_000_000_000 + longs[26]
                    expected[index] = np.all(first == head) and np.all(tails[index, length - len(tail) :] == tail)
                _close(file)
            index += 1
        word += 1
        if place >= 0:
            _close(place)
