"""The outbox: runs as folders of events, on disk before anything is sent. No MLflow here.

A record is a folder with ``events.jsonl``, one event a line, and the files that go with it. Its writer holds a lock on
that file (flock), which ends with the process, however it ends: so a record without writer and without last event is
known to be of a killed process.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from platformdirs import user_state_path

EVENTS = "events.jsonl"
PROGRESS = "sent.json"
EXPERIMENTS = (".dvc", "tmp", "exps")
"""Where DVC copies a workspace to, inside itself, for an experiment."""


def workspace(start: str | Path = ".") -> Path:
    """The folder that holds ``.dvc`` or, without DVC, ``.git`` (else `start` itself), absolute.

    From a copy that DVC has made for an experiment, the workspace that it was made of: the copy is deleted afterwards.
    """
    start = Path(start).resolve()
    parts = start.parts
    for place in range(len(parts)):
        if parts[place : place + len(EXPERIMENTS)] == EXPERIMENTS:
            return Path(*parts[:place])
    for marker in (".dvc", ".git"):
        for folder in (start, *start.parents):
            if (folder / marker).exists():
                return folder
    return start


def outboxes(root: Path) -> list[Path]:
    """Where records of the workspace `root` may lie, best first: inside it, or in the user's own folder where the
    workspace has no room or may not be written."""
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return [root / ".mfnet" / "outbox", user_state_path("mfnet") / "outbox" / name]


@dataclass
class RunRecord:
    """A record that is being written."""

    homes: list[Path]
    """Outboxes that are left to try; the first holds the record."""
    name: str
    file: int = -1
    waiting: list[bytes] = field(default_factory=list)
    """Events that no disk has taken yet."""

    @classmethod
    def open(cls, homes: list[Path]) -> Self:
        """A new record in the first outbox that takes it; raises OSError where none does."""
        record = cls(list(homes), f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex}")
        record._settle()
        return record

    @property
    def folder(self) -> Path:
        """Where events and files are."""
        return self.homes[0] / self.name

    def write(self, event: dict) -> None:
        """Append an event and bring it to the disk, or move with all events to the next outbox.

        Raises OSError where no outbox is left; the event is then written with the next one.
        """
        self.waiting.append(json.dumps({"time": int(1000 * time.time())} | event, default=str).encode() + b"\n")
        try:
            self._append()
        except OSError:
            if len(self.homes) == 1:
                raise
            self._move()

    def keep(self, content: bytes, name: str) -> str:
        """Put `content` into a file of the record called `name`; returns its path inside the record."""
        place = f"{uuid.uuid4().hex}/{name}"
        try:
            (self.folder / place).parent.mkdir()
            (self.folder / place).write_bytes(content)
        except OSError:
            if len(self.homes) == 1:
                raise
            self._move()
            return self.keep(content, name)
        return place

    def close(self) -> None:
        """Let go of the record."""
        os.close(self.file)

    def _append(self) -> None:
        size = os.fstat(self.file).st_size
        content = b"".join(self.waiting)
        try:
            while content:
                content = content[os.write(self.file, content) :]
            os.fsync(self.file)
        except OSError:
            os.ftruncate(self.file, size)  # a full disk takes half a line
            raise
        self.waiting.clear()

    def _settle(self) -> None:
        """Create the record in the first of its homes that takes what is waiting."""
        while True:
            try:
                self.folder.mkdir(parents=True, mode=0o700)
                self.file = os.open(self.folder / EVENTS, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
                fcntl.flock(self.file, fcntl.LOCK_EX)
                self._append()
                return
            except OSError:
                if len(self.homes) == 1:
                    raise
                self.homes.pop(0)

    def _move(self) -> None:
        """Take the record to the next of its homes."""
        old, file = self.folder, self.file
        self.waiting.insert(0, (old / EVENTS).read_bytes())
        self.homes.pop(0)
        self._settle()
        shutil.copytree(old, self.folder, ignore=shutil.ignore_patterns(EVENTS, PROGRESS), dirs_exist_ok=True)
        shutil.rmtree(old, ignore_errors=True)
        os.close(file)


def records(root: Path) -> list[Path]:
    """Folders of all records of a workspace, oldest first."""
    found = [folder for home in outboxes(root) for folder in within(home)]
    return sorted(found, key=lambda folder: folder.name)


def within(home: Path) -> list[Path]:
    """Folders of the records in one outbox."""
    return [events.parent for events in home.glob(f"*/{EVENTS}")]


def find(root: Path, name: str) -> Path | None:
    """The folder of a record, wherever it lies now; None if it is gone."""
    return next((home / name for home in outboxes(root) if (home / name / EVENTS).is_file()), None)


def has_writer(folder: Path) -> bool:
    """Whether the process that writes a record is alive."""
    with (folder / EVENTS).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def read(folder: Path, start: int = 0) -> Iterator[tuple[dict, int]]:
    """Whole events of a record from byte `start` on, each with the place where the next one begins."""
    with (folder / EVENTS).open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return  # it is being written, or its writer was killed in the middle of it
            start += len(line)
            yield json.loads(line), start


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether this process alone may send a record, as long as the block lasts."""
    file = os.open(folder / PROGRESS, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(file)
