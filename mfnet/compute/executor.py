"""Where work runs: one function over many items, in this process, in local ones or on a dask cluster.

A killed worker process is restarted and its items run again (dask.distributed; `concurrent.futures` and joblib lose the
whole batch). `fn` may therefore run more than once on one item: let it write beside and rename.
"""

import contextlib
import ipaddress
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

from mfnet.compute.memory import keep_freed_memory
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
    one item or one worker, which saves the cluster's start of a second or more), or the address of a dask scheduler
    whose workers can import `mfnet` and see the same files: ``tcp://127.0.0.1:port``, or ``tls://host:port`` with
    `certificates`. Functions, items and results travel as pickles: both ends must trust each other."""
    workers: int = 0
    """Local processes; 0 is one per usable core."""
    certificates: str | None = None
    """Folder with ``ca.pem``, ``cert.pem`` and ``key.pem`` for ``tls://``."""

    def __post_init__(self) -> None:
        if self.executor in ("serial", "local"):
            return
        scheme, _, place = self.executor.partition("://")
        if scheme not in ("tcp", "tls") or not place:
            raise InputError(
                f"compute.executor: {self.executor!r} is none of serial, local, tcp://host:port, tls://..."
            )
        if scheme == "tcp" and not _is_loopback(place):
            raise InputError(
                f"compute.executor: {self.executor}: plain tcp:// is for this machine alone, as whoever reaches a "
                f"dask scheduler can run code on its workers; use tls:// and compute.certificates"
            )
        if scheme == "tls":
            certificate_files(self.certificates)

    @classmethod
    def of(cls, params: "ComputeParams") -> "Compute":
        """As the section ``compute`` of a params file says."""
        return cls(params.executor, params.workers, params.certificates)

    def map(self, fn: Callable[[Item], Result], items: Iterable[Item], label: str = "") -> Iterator[Result]:
        """Yield ``fn(item)`` for every item, in the items' order whatever order they end in.

        label: stands before the progress bar. `fn`, items and results must pickle.

        Raises what `fn` raised, with a note that names the item, and InputError for a scheduler that does not answer.
        An item that kills every worker it is given to costs none of the others: their results come, and a RuntimeError
        that names it comes last.
        """
        items = list(items)
        workers = min(self.workers or usable_cores(), len(items)) if self.executor == "local" else self.workers
        if self.executor == "serial" or not items or (self.executor == "local" and workers == 1):
            yield from _serial(fn, items, label)
            return
        with _client(self, workers) as client, tqdm(total=len(items), desc=label, disable=None) as bar:
            yield from _distributed(client, fn, items, bar)


def _is_loopback(place: str) -> bool:
    """Whether ``host:port`` is on this machine."""
    host = place.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def certificate_files(folder: str | None) -> list[str]:
    """Authority, certificate and key in a folder. Raises InputError, which names the file, where one is missing."""
    if folder is None:
        raise InputError("compute.certificates: tls:// needs a folder with ca.pem, cert.pem and key.pem")
    files = [Path(folder, name) for name in ("ca.pem", "cert.pem", "key.pem")]
    for file in files:
        if not file.is_file():
            raise InputError(f"compute.certificates: {file}: no such file")
    return [str(file) for file in files]


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
    from distributed.scheduler import KilledWorker

    with warnings.catch_warnings():  # items carry their data, and each goes to one worker once
        warnings.filterwarnings("ignore", message="Sending large graph")
        futures = client.map(partial(_attempt, fn), items, retries=RETRIES, pure=False)
    position = {future.key: index for index, future in enumerate(futures)}
    done = as_completed(futures, loop=client.loop)
    del futures  # or every result would stay on its worker to the end
    ready: dict[int, Result] = {}
    following, dropped, suspects = 0, None, []
    for future in done:
        index = position[future.key]
        if future.status == "cancelled":  # collateral of a lost worker: whose fault it was is still to come
            dropped = index
            continue
        if future.status not in ("finished", "error"):  # its worker died after it had ended: dask runs it again
            done.add(future)
            continue
        try:
            ready[index] = _result(future, items[index])
        except KilledWorker:
            suspects.append(index)
            continue
        bar.update()
        while following in ready:
            yield ready.pop(following)
            following += 1
    if dropped is not None:
        raise RuntimeError(f"the cluster stopped before it ran {_named(items[dropped])}")
    lost = []
    for index in sorted(suspects):  # alone, for a bystander dies with its neighbour
        future = client.submit(_attempt, fn, items[index], retries=RETRIES, pure=False)
        try:
            ready[index] = _result(future, items[index])
            bar.update()
        except KilledWorker:
            lost.append(index)
    for index in sorted(ready):
        yield ready.pop(index)
    if lost:
        names = "; ".join(_named(items[index]) for index in lost)
        raise RuntimeError(f"every worker that was given this item died: {names}")


@dataclass(frozen=True)
class _BadInput:
    """An InputError on its way back as a result, which dask does not retry."""

    error: InputError


def _attempt(fn: Callable[[Item], Result], item: Item) -> Result | _BadInput:
    keep_freed_memory()  # dask starts its workers with the least of it kept
    try:
        return fn(item)
    except InputError as error:
        return _BadInput(error)


def _result(future: "Future", item: object) -> Any:
    """What `fn` gave; what it raised is raised again, with a note that names the item.

    A result that is lost with its worker while it is fetched is waited for, as dask runs it again. Raises KilledWorker
    where every worker died that was given the item.
    """
    from distributed.scheduler import KilledWorker

    try:
        result = future.result()
    except KilledWorker:
        raise
    except Exception as error:
        error.add_note(_named(item))
        raise
    if isinstance(result, _BadInput):
        result.error.add_note(_named(item))
        raise result.error
    return result


def _named(item: object) -> str:
    text = repr(item)
    return f"item: {text if len(text) <= 300 else text[:300] + ' ...'}"


@contextlib.contextmanager
def _client(compute: Compute, workers: int) -> Iterator["Client"]:
    """A dask client of the given cluster, or of a local one that ends with the block and leaves no file."""
    import dask.config
    from distributed import Client, LocalCluster
    from distributed.security import Security

    with contextlib.ExitStack() as stack:
        address, security = compute.executor, None
        if compute.executor == "local":
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
        elif address.startswith("tls://"):
            authority, certificate, key = certificate_files(compute.certificates)
            security = Security(
                tls_ca_file=authority, tls_client_cert=certificate, tls_client_key=key, require_encryption=True
            )
        try:
            client = stack.enter_context(Client(address, set_as_default=False, security=security))
        except (OSError, ValueError) as error:  # ValueError: certificates that are none
            raise InputError(f"compute.executor: no dask scheduler answers at {compute.executor}: {error}") from None
        yield client
