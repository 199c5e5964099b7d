"""MLflow: the only module that imports it.

A run belongs to a DVC stage. It carries the MD5 that DVC computes for each dependency and output of the stage, the git
revision and the params, so that a number can be traced to the data it came from (`audit`). Nothing of a run (its id,
its times) goes back into an artifact.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from mfnet.errors import InputError

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


def _mlflow(store: str):
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
    """An open MLflow run."""

    id: str
    client: object

    def metrics(self, values: dict[str, float | None], step: int = 0) -> None:
        """Log one value per name in a single call; None and NaN are left out, since MLflow cannot compare them."""
        self._log([(name, value, step) for name, value in values.items()])

    def curves(self, table: pd.DataFrame, folder: str) -> None:
        """Log every column of a table beside ``step`` as a curve ``folder/column``, at most CURVE_POINTS rows of it."""
        rows = table.iloc[:: -(-len(table) // CURVE_POINTS) or 1].to_dict("records")
        self._log([(f"{folder}/{name}", row[name], int(row["step"])) for row in rows for name in row if name != "step"])

    def _log(self, points: list[tuple[str, float | None, int]]) -> None:
        from mlflow.entities import Metric
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        metrics = [
            Metric(REFUSED.sub("_", name), float(value), now, step)
            for name, value, step in points
            if value is not None and np.isfinite(value)
        ]
        for first in range(0, len(metrics), BATCH):
            self.client.log_batch(self.id, metrics=metrics[first : first + BATCH])

    def tags(self, values: dict[str, str]) -> None:
        """Set tags."""
        for name, value in values.items():
            self.client.set_tag(self.id, name, value)

    def picture(self, image: np.ndarray, name: str) -> None:
        """Keep a picture, uint8 [H, W, 3], under `name` (a path that ends in .png)."""
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

    Returns one row per output of a stage that MLflow knows: stage, path, md5, run (name), run_id, revision, status:
    ``match`` (a run made exactly these bytes from exactly these dependencies), ``other inputs`` (same bytes, made from
    other dependencies) or ``no run``.

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
        if not mine:
            continue
        deps = {entry["path"]: entry["md5"] for entry in record.get("deps", [])}
        for out in record.get("outs", []):
            rows.append({"stage": stage, "path": out["path"], "md5": out["md5"]} | _origin(out, deps, mine))
    return pd.DataFrame(rows, columns=["stage", "path", "md5", "status", "run", "run_id", "revision"])


def _all_runs(store: str) -> list:
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


def _origin(out: dict, deps: dict[str, str], runs: list) -> dict[str, str]:
    """Which of a stage's runs made `out`, best match first."""
    same_bytes = [run for run in runs if run.data.tags.get(OUT + out["path"]) == out["md5"]]
    for run in same_bytes:
        if {path: run.data.tags.get(DEP + path) for path in deps} == deps:
            return _named("match", run)
    return _named("other inputs", same_bytes[0]) if same_bytes else _named("no run", None)


def _named(status: str, run) -> dict[str, str]:
    if run is None:
        return {"status": status, "run": "", "run_id": "", "revision": ""}
    tags = run.data.tags
    return {"status": status, "run": run.info.run_name, "run_id": run.info.run_id, "revision": tags["git.revision"]}
