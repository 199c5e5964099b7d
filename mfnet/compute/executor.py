"""Where work runs: one function over many items, in this process, in local ones or on a dask cluster.

A killed worker process is restarted and its items run again (dask.distributed; `concurrent.futures` and joblib lose the
whole batch). `fn` may therefore run more than once on one item: let it write beside and rename.
"""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, cast

from tqdm import tqdm

from mfnet.errors import InputError

if TYPE_CHECKING:
    from distributed import Client, Future

    from mfnet.params import ComputeParams

Item = TypeVar("Item")
Result = TypeVar("Result")

RESTART = "1 day"
"""How long a lost worker may take to come back. dask's own 15 seconds are not enough on a busy machine: it then gives
up the nanny that is about to restart it, and once every nanny is gone the items that are left wait for ever."""
RETRIES = 2
"""Further tries of an item whose function raised, on a cluster: network file systems fail now and then. Bad input stays
bad: an InputError is not tried again."""


@dataclass(frozen=True)
class Compute:
    """Where work runs; it changes no result. InputError for an executor that is none."""

    executor: str = "serial"
    """``serial`` (in this process), ``local`` (spawned processes on 127.0.0.1, one thread each; serial where there is
    one item or one worker, which saves the cluster's start of a second or more), or ``tcp://host:port`` of a dask
    scheduler whose workers can import `mfnet` and see the same files."""
    workers: int = 0
    """Local processes; 0 is one per usable core."""

    def __post_init__(self) -> None:
        if self.executor not in ("serial", "local") and not self.executor.startswith(("tcp://", "tls://")):
            raise InputError(f"compute.executor: {self.executor!r} is none of serial, local, tcp://host:port")

    @classmethod
    def of(cls, params: "ComputeParams") -> "Compute":
        """As the section ``compute`` of a params file says."""
        return cls(params.executor, params.workers)

    def map(self, fn: Callable[[Item], Result], items: Iterable[Item], label: str = "") -> Iterator[Result]:
        """Yield ``fn(item)`` for every item, in the items' order whatever order they end in.

        label: stands before the progress bar. `fn`, items and results must pickle.

        Raises what `fn` raised, with a note that names the item; RuntimeError for an item that kills every worker it
        is given to; InputError for a scheduler that does not answer.
        """
        items = list(items)
        workers = min(self.workers or usable_cores(), len(items)) if self.executor == "local" else self.workers
        if self.executor == "serial" or not items or (self.executor == "local" and workers == 1):
            yield from _serial(fn, items, label)
            return
        with _client(self.executor, workers) as client, tqdm(total=len(items), desc=label, disable=None) as bar:
            yield from _distributed(client, fn, items, bar)


SERIAL = Compute()
"""In this process, one item after the other."""


def usable_cores() -> int:
    """Cores that this process may use: CPU affinity and container limits respected."""
    from dask.system import CPU_COUNT

    return CPU_COUNT


def _serial(fn: Callable[[Item], Result], items: Sequence[Item], label: str) -> Iterator[Result]:
    for item in tqdm(items, desc=label, disable=None):
        try:
            result = fn(item)
        except Exception as error:
            error.add_note(_named(item))
            raise
        yield result


def _distributed(client: "Client", fn: Callable[[Item], Result], items: Sequence[Item], bar: tqdm) -> Iterator[Result]:
    from distributed import as_completed

    with warnings.catch_warnings():  # items carry their data, and each goes to one worker once
        warnings.filterwarnings("ignore", message="Sending large graph")
        futures = client.map(partial(_attempt, fn), items, retries=RETRIES, pure=False)
    position = {future.key: index for index, future in enumerate(futures)}
    done = as_completed(futures, loop=client.loop)
    del futures  # or every result would stay on its worker to the end
    ready: dict[int, Result] = {}
    following, dropped = 0, None
    for future in done:
        index = position[future.key]
        if future.status == "cancelled":  # collateral of a lost worker: whose fault it was is still to come
            dropped = index
            continue
        if future.status not in ("finished", "error"):  # its worker died after it had ended: dask runs it again
            done.add(future)
            continue
        if future.status == "error":
            raise _error(future, items[index])
        result = future.result()
        if isinstance(result, _BadInput):
            result.error.add_note(_named(items[index]))
            raise result.error
        ready[index] = result
        bar.update()
        while following in ready:
            yield ready.pop(following)
            following += 1
    if dropped is not None:
        raise RuntimeError(f"the cluster stopped before it ran {_named(items[dropped])}")


@dataclass(frozen=True)
class _BadInput:
    """An InputError on its way back as a result, which dask does not retry."""

    error: InputError


def _attempt(fn: Callable[[Item], Result], item: Item) -> Result | _BadInput:
    try:
        return fn(item)
    except InputError as error:
        return _BadInput(error)


def _error(future: "Future", item: object) -> BaseException:
    from distributed.scheduler import KilledWorker

    # The stubs allow coroutines, which our client, being synchronous, never gives.
    error = cast(BaseException, future.exception())
    if isinstance(error, KilledWorker):
        return RuntimeError(f"every worker that was given this item died: {_named(item)}")
    error.add_note(_named(item))
    return error.with_traceback(cast(TracebackType | None, future.traceback()))


def _named(item: object) -> str:
    text = repr(item)
    return f"item: {text if len(text) <= 300 else text[:300] + ' ...'}"


@contextlib.contextmanager
def _client(executor: str, workers: int) -> Iterator["Client"]:
    """A dask client of the given cluster, or of a local one that ends with the block and leaves no file."""
    import dask.config
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        address = executor
        if executor == "local":
            stack.enter_context(dask.config.set({"distributed.deploy.lost-worker-timeout": RESTART}))
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="mfnet-dask-", ignore_cleanup_errors=True))
            address = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",  # any free port: the server of its health page cannot be left out
                    scheduler_kwargs={"dashboard": False},
                    local_directory=scratch,
                    memory_limit=None,  # a share of the memory per worker would kill good workers on a busy machine
                    env={"NUMBA_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"},  # dask itself sets OMP_NUM_THREADS
                    silence_logs=logging.CRITICAL,
                )
            )
        try:
            client = stack.enter_context(Client(address, set_as_default=False))
        except OSError as error:
            raise InputError(f"compute.executor: no dask scheduler answers at {executor}: {error}") from None
        yield client
