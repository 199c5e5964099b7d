"""What stages and library code tell MLflow. Nothing here can stop a stage, and nothing here imports MLflow.

A run is written to the workspace's outbox first (`mfnet.runs.outbox`) and sent by a process beside the stage
(`mfnet.runs.sender`); what cannot be sent waits for the next run or for ``mfnet track sync``. A run belongs to a DVC
stage. It carries the MD5 that DVC computes for each dependency and output of the stage, the git revision and the
params, so that a number can be traced to the data it came from. Nothing of a run (its id, its times) goes back into an
artifact.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from mfnet.runs.champion import Candidate
from mfnet.runs.outbox import RunRecord, outboxes, workspace

if TYPE_CHECKING:
    import pandas as pd

DEP, OUT = "dvc.dep.", "dvc.out."
REFUSED = re.compile(r"[^\w\-. :/]")
"""Characters that MLflow refuses in a metric's name."""
CURVE_POINTS = 500
"""Rows of a history that become points of a curve; longer ones are thinned out evenly."""
PATIENCE = 60.0
"""Seconds that a stage that has ended waits for its run to be sent, to a file: a busy machine takes half of them to
make the database."""
PATIENCE_WITH_SERVER = 20.0
"""The same, to a server."""


def flatten(tree: Mapping, prefix: str = "") -> dict[str, object]:
    """Nested sections as one level of dotted keys."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """A block that tracks: an error in it is a line on stderr, and what stands after the block goes on."""
    try:
        yield
    except Exception as error:
        print(f"tracking: {what}: {type(error).__name__}: {' '.join(str(error).split())[:300]}", file=sys.stderr)


@dataclass
class Run:
    """An open run; one without a record keeps nothing. No method raises for what goes wrong with tracking."""

    record: RunRecord | None = None
    sender: subprocess.Popen | None = None
    patience: float = PATIENCE
    names: set[str] = field(default_factory=set)
    """Names of the metrics that it has."""

    @classmethod
    def open(cls, begin: dict, params: Mapping, store: str | None) -> Self:
        """A run on disk and, unless it is of a sweep, the process that sends it.

        begin: experiment, name, tags, sweep (see `run`).
        """
        root = workspace()
        store = store or os.environ.get("MLFLOW_TRACKING_URI", "")
        record = RunRecord.open(outboxes(root))
        record.write({"kind": "begin", "store": store} | begin)
        run = cls(record, patience=PATIENCE_WITH_SERVER if store.startswith("http") else PATIENCE)
        run._put("params", values={key: str(value) for key, value in flatten(params).items()})
        if begin["sweep"]:
            return run
        with guarded("sender"):
            command = [sys.executable, "-m", "mfnet.runs.sender", record.name, str(root)]
            run.sender = subprocess.Popen(
                command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            assert run.sender.stdin is not None  # it is a pipe
            os.set_blocking(run.sender.stdin.fileno(), False)
        return run

    @property
    def active(self) -> bool:
        """Whether anything is recorded: pictures that nobody would see need not be drawn."""
        return self.record is not None

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Log one value per name. None is left out; one that is not finite marks the run with the tag ``diverged``."""
        self._log([(name, value, step) for name, value in values.items() if value is not None])

    def results(self, figures: Mapping) -> None:
        """Log a stage's JSON of metrics: its numbers by dotted names, but for those that the stage has logged itself
        (at their own steps); its texts as tags ``result.<name>``."""
        flat = flatten(figures)
        numbers = {name: value for name, value in flat.items() if isinstance(value, int | float)}
        self.metrics({name: value for name, value in numbers.items() if REFUSED.sub("_", name) not in self.names})
        self.tags({f"result.{name}": value for name, value in flat.items() if isinstance(value, str)})

    def curves(self, table: "pd.DataFrame", folder: str) -> None:
        """Log every column of a table beside ``step`` as a curve ``folder/column``, at most CURVE_POINTS rows of it;
        NaN, as tables have it, is no value."""
        rows = table.iloc[:: -(-len(table) // CURVE_POINTS) or 1].to_dict("records")
        points = [(f"{folder}/{name}", row[name], int(row["step"])) for row in rows for name in row if name != "step"]
        self._log([point for point in points if not np.isnan(point[1])])

    def _log(self, points: list[tuple[str, float, int]]) -> None:
        named = [(REFUSED.sub("_", name), float(value), step) for name, value, step in points]
        self.names |= {name for name, _, _ in named}
        if named:
            self._put("metrics", points=named)
        bad = next(((name, step) for name, value, step in named if not np.isfinite(value)), None)
        if bad is not None:
            self.tags({"diverged": "true", "diverged.first": f"{bad[0]} at step {bad[1]}"})

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        if values:
            self._put("tags", values=dict(values))

    def picture(self, image: np.ndarray, name: str) -> None:
        """Keep a picture, uint8 [H, W, 3], under `name` (a path that ends in .png)."""
        if self.record is not None:
            with guarded(name):
                pixels = io.BytesIO()
                np.save(pixels, image)
                self._put("picture", file=self.record.keep(pixels.getvalue(), "pixels.npy"), path=name)

    def file(self, content: bytes | str, name: str) -> None:
        """Keep a file under `name`, a relative path."""
        if self.record is not None:
            with guarded(name):
                content = content.encode() if isinstance(content, str) else content
                self._put("file", file=self.record.keep(content, Path(name).name), path=name)

    def inputs(self, versions: Mapping[str, str]) -> None:
        """Name the data that the run has read: path -> MD5."""
        if versions:
            self._put("inputs", values=dict(versions))

    def model(
        self, files: Mapping[str, Path], example: np.ndarray, settings: Mapping[str, object], registered: str
    ) -> None:
        """Keep a trained network that MLflow can load (`mfnet.runs.served_model`), as a version of a registered model.

        files: ``model`` and ``head``; example: crops [B >= 2, V, 3, S, S] uint8; settings: ``n_shape``,
        ``n_expression``; registered: the registered model's name.
        """
        if self.record is not None:
            with guarded("model"):
                crops = io.BytesIO()
                np.save(crops, example)
                kept = {name: self.record.keep(path.read_bytes(), path.name) for name, path in files.items()}
                place = self.record.keep(crops.getvalue(), "crops.npy")
                self._put("model", files=kept, example=place, settings=dict(settings), registered=registered)

    def champion(self, model: str, network: str, candidate: Candidate, margin: float) -> None:
        """Have a network judged by the rule of `mfnet.runs.champion`, and the alias of the registered model moved to it
        if it wins. network: the MD5 of its file."""
        self._put("champion", model=model, network=network, candidate=asdict(candidate), margin=margin)

    def close(self, status: str) -> None:
        """End the run as FINISHED or FAILED, and wait for it to be sent, but not for ever."""
        if self.record is None:
            return
        self._put("end", status=status)
        self.record.close()
        if self.sender is None:
            return
        try:
            output, _ = self.sender.communicate(timeout=self.patience)
            problem = output.decode(errors="replace").strip()
        except subprocess.TimeoutExpired:
            self.sender.kill()
            self.sender.communicate()
            problem = f"no answer within {self.patience:.0f} s"
        if problem:
            kept = self.record.folder.parent
            print(f"tracking: not sent: {problem}; kept in {kept}: mfnet track sync", file=sys.stderr)

    def _put(self, kind: str, **content: object) -> None:
        if self.record is None:
            return
        with guarded(kind):
            self.record.write({"kind": kind} | content)
        if self.sender is not None and self.sender.stdin is not None:
            with contextlib.suppress(OSError):  # it has ended, or has more than enough to do
                os.write(self.sender.stdin.fileno(), b".")


@contextmanager
def run(
    experiment: str, name: str, params: Mapping, tags: Mapping[str, str], store: str | None = None, sweep: str = ""
) -> Iterator[Run]:
    """Open a run, yield it, and close it as FINISHED, or as FAILED if the block raises.

    Runs are flat: nested ones are collapsed in MLflow's UI and cannot be charted together.

    store: MLflow tracking URI (default: MLFLOW_TRACKING_URI, else ``mlflow.db`` in the workspace). sweep: what the run
    is compared in, by a hash of all that it is made of. An experiment holds one sweep and takes each run of it once; an
    older sweep keeps its runs under another name of the experiment. Such a run is sent with the one that is open around
    it.
    """
    opened = Run()
    with guarded("start"):
        begin = {"experiment": experiment, "name": name, "tags": dict(tags), "sweep": sweep}
        opened = Run.open(begin, params, store)
    status = "FAILED"
    try:
        yield opened
        status = "FINISHED"
    finally:
        with guarded("end"):
            opened.close(status)
