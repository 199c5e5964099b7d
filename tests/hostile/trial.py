"""One hostile file given to one reader, and what came of it: time, memory, code that ran."""

import contextlib
import functools
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.hostile.mutations import mutated
from tests.hostile.readers import READERS, Files

SLOW = 2.0
"""Seconds that a reader may take for a small hostile file."""
LARGE = 256
"""MiB that it may take."""
HUNG = 30
"""Seconds after which it is stopped."""
MARKER = "run.marker"

_EVENTS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "socket.connect",
    "pickle.find_class",
)
_seen: list[str] = []
_watching = False


@dataclass(frozen=True)
class Outcome:
    """What a reader did with hostile files."""

    kind: str
    """``read`` or ``refused``, which are right; ``uncaught``, ``slow``, ``large`` or ``code run``."""
    detail: str = ""


RIGHT = ("read", "refused")


def hostile_files(name: str, number: int) -> Files:
    """The good files of a reader, one of them damaged; equal for equal arguments."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), number])
    files = dict(_good(name))
    chosen = sorted(files)[int(rng.integers(len(files)))]
    files[chosen] = mutated(files[chosen], rng, list(files.values()))
    return files


@functools.cache
def _good(name: str) -> Files:
    return READERS[name].files()


def fixed_files(name: str, folder: Path) -> list[Files]:
    """The hand-made hostile files of a reader, which would make a marker file in `folder`."""
    good = dict(_good(name))
    first = next(iter(good))
    return [good | {first: content} for content in READERS[name].fixed(str(folder / MARKER))]


def attempt(name: str, files: Files, folder: Path) -> Outcome:
    """Write the files into `folder`, where nothing else stays, and read them."""
    _warm(name)
    for old in folder.iterdir():
        old.unlink()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    before, start = _peak_memory(reset=True), time.process_time()  # a busy machine makes every file slow
    outcome = _guarded(name, folder)
    seconds, grown = time.process_time() - start, (_peak_memory() - before) >> 20
    if _seen or (folder / MARKER).exists():
        return Outcome("code run", " ".join(_seen))
    if outcome.kind in RIGHT and seconds > SLOW:
        return Outcome("slow", f"{seconds:.1f} s")
    if outcome.kind in RIGHT and grown > LARGE:
        return Outcome("large", f"{grown} MiB")
    return outcome


@functools.cache
def _warm(name: str) -> None:
    """Read the good files once: imports take time and memory, and start processes, without any hostile file."""
    with tempfile.TemporaryDirectory() as folder:
        for file, content in _good(name).items():
            Path(folder, file).write_bytes(content)
        READERS[name].read(Path(folder))


def _guarded(name: str, folder: Path) -> Outcome:
    reader = READERS[name]
    try:
        with stopped_when_hung(), watched():
            reader.read(folder)
    except reader.refusals as error:
        text = str(error)
        return Outcome("refused", text) if "\n" not in text else Outcome("uncaught", f"more than a line: {text[:200]}")
    except TimeoutError:
        return Outcome("slow", f"{HUNG} s")
    except BaseException as error:
        return Outcome("uncaught", f"{type(error).__name__}: {str(error)[:200]}")
    return Outcome("read")


@contextlib.contextmanager
def stopped_when_hung() -> Iterator[None]:
    """Raise TimeoutError in a block that takes `HUNG` seconds."""

    def stop(*_: object) -> None:
        raise TimeoutError

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HUNG)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Give a list of what the block runs of foreign code: processes, connections, resolved pickle names."""
    global _watching
    _seen.clear()
    _watching = True
    try:
        yield _seen
    finally:
        _watching = False


def _hook(event: str, arguments: tuple) -> None:
    if _watching and event.startswith(_EVENTS):
        _seen.append(f"{event} {str(arguments)[:100]}")


sys.addaudithook(_hook)


def _peak_memory(reset: bool = False) -> int:
    """Bytes: the largest resident size since the last reset, or where asked to reset, the size now."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    field = "VmRSS:" if reset else "VmHWM:"
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) << 10
