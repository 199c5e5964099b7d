"""Compute.map: order, errors that name their item, survival of a killed worker, no leftovers."""

import contextlib
import os
import signal
import time
from pathlib import Path

import dask
import pytest
from distributed.scheduler import KilledWorker

from mfnet.compute import executor
from mfnet.compute.executor import Compute
from mfnet.errors import InputError


def slow_square(value: int) -> int:
    time.sleep(0.02 * (5 - value % 5))  # later items end first
    return value * value


def fail_on_three(value: int) -> int:
    if value == 3:
        raise InputError(f"value {value} is bad")
    return value


def die_once(item: tuple[int, str]) -> int:
    """Kill the own process the first time that item 4 is seen; the marker file remembers."""
    value, marker = item
    if value == 4 and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def die_all_once(item: tuple[int, str]) -> int:
    """Kill the first two processes that run anything, each with the first item it sees."""
    value, marker = item
    mine = [Path(f"{marker}{number}") for number in range(2)]
    for path in mine:
        with contextlib.suppress(FileExistsError):
            path.touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
    return value


def die_always(value: int) -> int:
    if value == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def process_id(_: int) -> int:
    time.sleep(0.1)
    return os.getpid()


@pytest.mark.parametrize("executor", ["serial", "local"])
def test_results_come_in_item_order(executor):
    assert list(Compute(executor, 2).map(slow_square, range(12))) == [value * value for value in range(12)]


@pytest.mark.parametrize("executor", ["serial", "local"])
def test_error_is_the_original_and_names_the_item(executor):
    with pytest.raises(InputError, match="value 3 is bad") as caught:
        list(Compute(executor, 2).map(fail_on_three, range(6)))
    assert caught.value.__notes__ == ["item: 3"]


def fail_and_count(item: tuple[str, str]) -> None:
    kind, log = item
    with open(log, "a") as file:
        file.write("tried\n")
    if kind != "good":
        raise {"bad input": InputError, "network": OSError}[kind](kind)


@pytest.mark.parametrize(("kind", "tries"), [("bad input", 1), ("network", 3)])
def test_bad_input_is_not_tried_again_and_a_failing_network_is(tmp_path, kind, tries):
    items = [(kind, str(tmp_path / "log")), ("good", str(tmp_path / "other"))]  # the first to fail ends the rest
    with pytest.raises((InputError, OSError), match=kind):
        list(Compute("local", 2).map(fail_and_count, items))
    assert len((tmp_path / "log").read_text().splitlines()) == tries


def test_killed_worker_does_not_lose_the_batch(tmp_path):
    items = [(value, str(tmp_path / "killed")) for value in range(12)]
    assert list(Compute("local", 2).map(die_once, items)) == list(range(12))
    assert (tmp_path / "killed").exists()


@pytest.mark.parametrize("attempt", range(3))
def test_a_result_that_is_lost_with_its_worker_is_computed_again(tmp_path, attempt):
    """Many quick items, so that some have ended on the worker that dies and are not fetched yet."""
    items = [(value % 30, str(tmp_path / "killed")) for value in range(120)]
    assert list(Compute("local", 2).map(die_once, items)) == [value % 30 for value in range(120)]


def note_process(item: tuple[int, str]) -> int:
    value, folder = item
    Path(folder, str(os.getpid())).touch()
    time.sleep(0.01)
    return value


@pytest.mark.parametrize("after", [1, 20, 60])
def test_a_worker_killed_from_outside_at_any_moment_costs_no_result(tmp_path, after):
    items = [(value, str(tmp_path)) for value in range(80)]
    results = Compute("local", 2).map(note_process, items)
    taken = [next(results) for _ in range(after)]
    os.kill(int(next(tmp_path.iterdir()).name), signal.SIGKILL)
    assert taken + list(results) == list(range(80))


class Finished:
    """A future that dask called finished, and whose worker was lost before its result was fetched."""

    status, key = "finished", "0"

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def result(self) -> int:
        raise self.error


def test_an_item_that_fails_when_its_lost_result_is_computed_again_is_named():
    with pytest.raises(OSError, match="gone") as caught:
        executor._result(Finished(OSError("gone")), 7)  # pyright: ignore[reportArgumentType]
    assert caught.value.__notes__ == ["item: 7"]
    with pytest.raises(KilledWorker):
        executor._result(Finished(KilledWorker("0", None, 3)), 7)  # pyright: ignore[reportArgumentType]


def test_workers_that_take_long_to_come_back_are_not_given_up(tmp_path):
    items = [(value, str(tmp_path / "killed")) for value in range(12)]
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1 ms"}):
        assert list(Compute("local", 2).map(die_all_once, items)) == list(range(12))


def test_an_item_that_kills_every_worker_is_named_and_the_others_results_are_kept():
    results = []
    with pytest.raises(RuntimeError, match=r"died: item: 1$"):
        for result in Compute("local", 2).map(die_always, range(8)):
            results.append(result)  # what came before the error is what counts
    assert results == [0, 2, 3, 4, 5, 6, 7]


def test_local_work_runs_in_other_processes_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    processes = set(Compute("local", 2).map(process_id, range(8)))
    assert len(processes) == 2 and os.getpid() not in processes
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("items", "workers"), [([7], 2), ([7, 8], 1), ([], 2)])
def test_small_work_stays_in_this_process(items, workers):
    assert set(Compute("local", workers).map(process_id, items)) <= {os.getpid()}


def test_scheduler_by_address(tmp_path):
    from distributed import LocalCluster

    settings = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "local_directory": str(tmp_path)}
    with LocalCluster(n_workers=1, threads_per_worker=1, **settings) as cluster:
        assert cluster.scheduler_address.startswith("tcp://")
        assert list(Compute(cluster.scheduler_address).map(slow_square, range(4))) == [0, 1, 4, 9]


def test_unknown_executor_is_refused():
    with pytest.raises(InputError, match=r"compute\.executor"):
        Compute("threads")


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:8786", "tcp://example.org:8786", "tcp://[fe80::1]:1", "tcp://:1"])
def test_plain_tcp_off_this_machine_is_refused(address):
    with pytest.raises(InputError, match=r"use tls:// and compute\.certificates"):
        Compute(address)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "tcp://localhost:8786", "tcp://[::1]:8786"])
def test_plain_tcp_on_this_machine_is_taken(address):
    assert Compute(address).executor == address


def test_tls_needs_its_certificates(tmp_path):
    with pytest.raises(InputError, match=r"compute\.certificates: tls:// needs"):
        Compute("tls://10.0.0.1:8786")
    with pytest.raises(InputError, match=r"ca\.pem: no such file"):
        Compute("tls://10.0.0.1:8786", certificates=str(tmp_path))
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("no certificate")
    with pytest.raises(InputError, match=r"compute\.executor"):
        list(Compute("tls://127.0.0.1:1", certificates=str(tmp_path)).map(slow_square, range(3)))
