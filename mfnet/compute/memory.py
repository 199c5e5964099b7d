"""How the C library treats the memory of buffers that are freed."""

import ctypes
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
KEPT_BYTES = 1 << 30


@cache
def keep_freed_memory() -> None:
    """Have glibc keep the pages of freed buffers: a network frees and takes the same ones at every step, and to map and
    clear them anew costs a sixth of a run's time. Other C libraries are left alone."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
