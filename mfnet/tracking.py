"""MLflow: the only module that imports it.

A run belongs to a DVC stage. It carries the MD5 that DVC computes for each dependency and output of the stage, the git
revision and the params, so that a number can be traced to the data it came from (`audit`). Nothing of a run (its id,
its times) goes back into an artifact.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import yaml

from mfnet.errors import InputError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

STORE = "sqlite:///mlflow.db"
ARTIFACTS = "mlartifacts"
DEP, OUT = "dvc.dep.", "dvc.out."
REFUSED = re.compile(r"[^\w\-. :/]")
"""Characters that MLflow refuses in a metric's name."""
KIND = "mlflow.experimentKind"
"""Tag by which MLflow's UI opens an experiment with runs and charts instead of traces."""
BATCH = 1000
"""Metrics that MLflow takes in one call."""
CURVE_POINTS = 500
"""Rows of a history that become points of a curve; longer ones are thinned out evenly."""


def _mlflow(store: str) -> ModuleType:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    import mlflow

    mlflow.set_tracking_uri(store)
    return mlflow


def flatten(tree: dict, prefix: str = "") -> dict[str, object]:
    """Nested sections as one level of dotted keys."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


@dataclass
class Run:
    """An open MLflow run; one without a client records nothing."""

    id: str = ""
    client: "MlflowClient | None" = None
    names: set[str] = field(default_factory=set)
    """Names of the metrics that it has."""

    @property
    def active(self) -> bool:
        """Whether anything is recorded: pictures that nobody would see need not be drawn."""
        return self.client is not None

    def metrics(self, values: dict[str, float | None], step: int = 0) -> None:
        """Log one value per name in a single call; None and NaN are left out, since MLflow cannot compare them."""
        self._log([(name, value, step) for name, value in values.items()])

    def results(self, figures: dict) -> None:
        """Log a stage's JSON of metrics: its numbers by dotted names, but for those that the stage has logged itself
        (at their own steps); its texts as tags ``result.<name>``."""
        flat = flatten(figures)
        numbers = {name: value for name, value in flat.items() if isinstance(value, int | float)}
        self.metrics({name: value for name, value in numbers.items() if REFUSED.sub("_", name) not in self.names})
        self.tags({f"result.{name}": value for name, value in flat.items() if isinstance(value, str)})

    def curves(self, table: pd.DataFrame, folder: str) -> None:
        """Log every column of a table beside ``step`` as a curve ``folder/column``, at most CURVE_POINTS rows of it."""
        rows = table.iloc[:: -(-len(table) // CURVE_POINTS) or 1].to_dict("records")
        self._log([(f"{folder}/{name}", row[name], int(row["step"])) for row in rows for name in row if name != "step"])

    def _log(self, points: list[tuple[str, float | None, int]]) -> None:
        if self.client is None:
            return
        from mlflow.entities import Metric
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        metrics = [
            Metric(REFUSED.sub("_", name), float(value), now, step)
            for name, value, step in points
            if value is not None and np.isfinite(value)
        ]
        self.names |= {metric.key for metric in metrics}
        for first in range(0, len(metrics), BATCH):
            self.client.log_batch(self.id, metrics=metrics[first : first + BATCH])

    def tags(self, values: dict[str, str]) -> None:
        """Set tags."""
        if self.client is None:
            return
        for name, value in values.items():
            self.client.set_tag(self.id, name, value)

    def picture(self, image: np.ndarray, name: str) -> None:
        """Keep a picture, uint8 [H, W, 3], under `name` (a path that ends in .png)."""
        if self.client is not None:
            self.client.log_image(self.id, image, name)


@contextmanager
def run(experiment: str, name: str, params: dict, tags: dict[str, str], store: str = STORE) -> Iterator[Run]:
    """Open a run, yield it, and close it as FINISHED, or as FAILED if the block raises.

    Runs are flat, one experiment per sweep: nested ones are collapsed in the UI and cannot be charted together.
    """
    mlflow = _mlflow(store)
    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name(experiment)
    if found is None:
        location = Path(ARTIFACTS).absolute().as_uri()
        experiment_id = client.create_experiment(
            experiment, artifact_location=f"{location}/{experiment}", tags={KIND: "custom_model_development"}
        )
    else:
        experiment_id = found.experiment_id
    opened = Run(client.create_run(experiment_id, run_name=name, tags=tags).info.run_id, client)
    status = "FAILED"
    try:
        from mlflow.entities import Param

        flat = [Param(key, str(value)) for key, value in flatten(params).items()]
        client.log_batch(opened.id, params=flat)
        yield opened
        status = "FINISHED"
    finally:
        client.set_terminated(opened.id, status)


def audit(lock: str | Path = "dvc.lock", store: str = STORE) -> pd.DataFrame:
    """Which run made each recorded output: dvc.lock joined with MLflow on the MD5 of outputs and dependencies.

    Returns one row per output: stage, path, md5, run (name), run_id, revision, status: ``match`` (a run made exactly
    these bytes from exactly these dependencies), ``other inputs`` (same bytes, made from other dependencies), ``no
    run`` (the stage's runs made other bytes) or ``untracked`` (MLflow knows no finished run of the stage).

    Raises InputError where the lock or the store is missing.
    """
    lock = Path(lock)
    if not lock.is_file():
        raise InputError(f"{lock}: no such file; run `dvc repro` first")
    database = Path(store.removeprefix("sqlite:///"))
    if store.startswith("sqlite:///") and not database.is_file():
        raise InputError(f"{database}: no MLflow store; run `dvc repro` first")
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
    runs = _all_runs(store)
    rows = []
    for stage, record in stages.items():
        mine = [run for run in runs if run.data.tags.get("dvc.stage") == stage and run.info.status == "FINISHED"]
        deps = {entry["path"]: entry["md5"] for entry in record.get("deps", [])}
        for out in record.get("outs", []):
            origin = _origin(out, deps, mine) if mine else _named("untracked", None)
            rows.append({"stage": stage, "path": out["path"], "md5": out["md5"]} | origin)
    return pd.DataFrame(rows, columns=["stage", "path", "md5", "status", "run", "run_id", "revision"])


def _all_runs(store: str) -> "list[MlflowRun]":
    """Every run, newest first."""
    client = _mlflow(store).MlflowClient()
    runs, token = [], None
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    while True:
        page = client.search_runs(experiments, order_by=["attributes.start_time DESC"], page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _origin(out: dict, deps: dict[str, str], runs: "list[MlflowRun]") -> dict[str, str | None]:
    """Which of a stage's runs made `out`, best match first."""
    same_bytes = [run for run in runs if run.data.tags.get(OUT + out["path"]) == out["md5"]]
    for run in same_bytes:
        if {path: run.data.tags.get(DEP + path) for path in deps} == deps:
            return _named("match", run)
    return _named("other inputs", same_bytes[0]) if same_bytes else _named("no run", None)


def _named(status: str, run: "MlflowRun | None") -> dict[str, str | None]:
    if run is None:
        return {"status": status, "run": "", "run_id": "", "revision": ""}
    tags = run.data.tags
    return {
        "status": status,
        "run": run.info.run_name,
        "run_id": run.info.run_id,
        "revision": tags.get("git.revision", ""),
    }
