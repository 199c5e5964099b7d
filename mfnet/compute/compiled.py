"""Compiled kernels: how they are built, spread over threads, and given memory.

Kernels are compiled by numba for one thread, without the GIL, and cached on disk at the first call; nothing compiles at
import. A batch is spread by plain Python threads, never by one of numba's own threading layers, because each of those
breaks somewhere: OpenMP's kills a forked child, workqueue's aborts when two threads call at once. So the kernels work
in forked and spawned data loader workers and under any number of calling threads. `torch.set_num_threads` sets how many
threads are used (a data loader worker has one). Every sample is computed by one thread in a fixed order, so results
do not depend on the number of threads.

The cache lies in `__pycache__` beside the package or, where that is read-only, in numba's folder under the user's cache
directory; `NUMBA_CACHE_DIR` names another.
"""

import contextlib
import os
import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar, overload

import numba
import numpy as np
import torch
from torch import Tensor

POOLED_BYTES = 1 << 30
"""Most memory that idle buffers may hold, all sizes together."""


Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def kernel(function: Function, *, reassociate: bool = False) -> Function: ...
@overload
def kernel(function: None = None, *, reassociate: bool = False) -> Callable[[Function], Function]: ...
def kernel(function: Callable[..., Any] | None = None, *, reassociate: bool = False) -> Callable[..., Any]:
    """Compile `function` at its first call, without the GIL, and keep the machine code on disk.

    reassociate: let sums be split over the lanes of a register. Their order then depends on the kind of CPU, as it does
    in torch's own sums, but not on the number of threads.

    Every call of one kernel by another is inlined. Without `forceinline` LLVM inlines some calls when it compiles and
    others when numba loads the cached code, and the two versions of a sum differ in the last bits: the first process
    would give other results than the later ones.
    """
    if function is None:
        return partial(kernel, reassociate=reassociate)
    options = {
        "nogil": True,
        "error_model": "numpy",
        "forceinline": True,
        "fastmath": {"reassoc", "contract", "nsz"} if reassociate else False,
    }
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError as error:  # numba found no folder that it may write to
        warnings.warn(f"{function.__name__} compiles in every process: {error}; set NUMBA_CACHE_DIR", stacklevel=2)
        return numba.njit(function, **options)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread inside: sums must not depend on how many cores a machine has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Workers:
    """A lazily started thread pool that a forked child does not inherit."""

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Begin without threads, as a forked child has none of its parent's."""
        self.lock = threading.Lock()
        self.size = 0
        self.executor: ThreadPoolExecutor | None = None

    def get(self, size: int) -> ThreadPoolExecutor:
        """A pool of at least `size` threads."""
        with self.lock:
            if self.executor is None or size > self.size:
                self.size, self.executor = size, ThreadPoolExecutor(size, thread_name_prefix="mfnet")
            return self.executor


_workers = _Workers()


def over_batch(function: Callable[..., object], batch: int, *arguments: Any) -> None:
    """Call `function(start, stop, *arguments)` over contiguous shares of range(batch), one per thread."""
    _spread(function, batch, min(torch.get_num_threads(), batch), arguments)


def over_batch_in_torch(function: Callable[..., object], batch: int, *arguments: Any) -> None:
    """`over_batch` for a function of torch operations on detached tensors; within a share torch uses one thread.

    torch's own threads are left out because they wait actively for some 10 ms after each operation, which takes the
    cores from whatever runs next.
    """
    threads = min(torch.get_num_threads(), batch)

    def share(start: int, stop: int) -> None:
        torch.set_num_threads(1)  # of the calling thread; the first one's is restored below, the others are ours
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):  # neither is inherited by a thread
            function(start, stop, *arguments)

    with one_thread():
        _spread(share, batch, threads, ())


def _spread(function: Callable[..., object], batch: int, threads: int, arguments: tuple) -> None:
    if threads <= 1:
        function(0, batch, *arguments)
        return
    bounds = [batch * i // threads for i in range(threads + 1)]
    executor = _workers.get(threads - 1)
    others = [executor.submit(function, *bounds[i : i + 2], *arguments) for i in range(1, threads)]
    function(0, bounds[1], *arguments)
    for other in others:
        other.result()


class _Pool:
    """Buffers of result tensors, kept for reuse by size in bytes.

    A fresh buffer costs page faults, which take as long as filling it with results. `empty` makes a tensor on a buffer
    of this pool and returns the buffer when the last tensor, view or saved copy on it is gone.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.idle: OrderedDict[int, list[np.ndarray]] = OrderedDict()
        """Size -> free buffers of it; sizes in the order in which they were last asked for."""
        self.held = 0
        """Bytes of all free buffers."""
        os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self.lock = threading.RLock()

    def take(self, size: int) -> np.ndarray:
        """A buffer of `size` bytes with any content."""
        with self.lock:
            memory = self.idle.get(size)
            if not memory:
                return np.empty(size, np.uint8)
            self.held -= size
            self.idle.move_to_end(size)
            return memory.pop()

    def give(self, memory: np.ndarray) -> None:
        """Take a buffer back; over POOLED_BYTES the sizes that were asked for longest ago are dropped."""
        with self.lock:
            self.idle.setdefault(memory.size, []).append(memory)
            self.held += memory.size
            while self.held > POOLED_BYTES:  # drop the size that was asked for longest ago
                size, dropped = next(iter(self.idle.items()))
                if dropped:
                    dropped.pop()
                    self.held -= size
                else:
                    del self.idle[size]


_pool = _Pool()


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """An uninitialised CPU tensor whose memory is reused once nothing refers to it any more."""
    itemsize = dtype.itemsize
    size = itemsize * int(np.prod(shape, dtype=np.int64))
    if size == 0:
        return torch.empty(shape, dtype=dtype)
    memory = _pool.take(size)
    lease = memory[:]  # a new array object on the same memory: its death is the tensor's
    weakref.finalize(lease, _pool.give, memory).atexit = False
    return torch.from_numpy(lease).view(dtype).view(shape)
