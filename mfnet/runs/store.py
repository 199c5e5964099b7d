"""The MLflow store: which one, made once, and at home wherever its folder is moved to."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

URI = "MLFLOW_TRACKING_URI"
SQLITE = "sqlite:///"
DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
LOCATIONS = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}
"""Table -> column: where an absolute artifact location stands in MLflow's database."""


def address(root: Path) -> str:
    """The tracking URI of a workspace: MLFLOW_TRACKING_URI, else the database in its folder."""
    return os.environ.get(URI) or f"{SQLITE}{root / DATABASE}"


def database(uri: str) -> Path | None:
    """The file of an SQLite store; None for a server."""
    return Path(uri.removeprefix(SQLITE)).absolute() if uri.startswith(SQLITE) else None


def client_at(uri: str) -> "MlflowClient":
    """A client of a store that exists and knows where it is. It asks no one whether it may be updated, and gives up on
    a dead server at once: what is not sent is kept."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
    }.items():
        os.environ.setdefault(name, value)
    if (path := database(uri)) is not None:
        with _locked(path):
            if not path.is_file():
                _create(path)
            _bring_home(path)
    from mlflow import MlflowClient

    return MlflowClient(uri)


@contextmanager
def current(uri: str) -> Iterator[None]:
    """The store as MLflow's current one, for what takes no other way. MLflow tells the environment of it; that is taken
    back, for there it would pass for the user's word."""
    import mlflow

    before = os.environ.get(URI)
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri("")
        os.environ.pop(URI, None)
        if before is not None:
            os.environ[URI] = before


def artifact_location(uri: str, experiment: str) -> str | None:
    """Where files of an experiment go: beside an SQLite store's database; a server decides for itself (None)."""
    path = database(uri)
    return None if path is None else f"{(path.parent / ARTIFACTS).as_uri()}/{experiment}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(f"{path.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _create(path: Path) -> None:
    """Make the database beside its place and rename it: who finds one finds it whole."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    beside = path.with_name(f"{path.name}.tmp")
    beside.unlink(missing_ok=True)
    store = SqlAlchemyStore(f"{SQLITE}{beside}", (path.parent / ARTIFACTS).as_uri())
    store.engine.dispose()
    os.replace(beside, path)


def _bring_home(path: Path) -> None:
    """Point artifact locations to the database's own folder: in a copied workspace they are those of the first one."""
    home = (path.parent / ARTIFACTS).as_uri()
    with closing(sqlite3.connect(path, timeout=5)) as connection, connection:
        for table, column in LOCATIONS.items():
            away = f"{column} LIKE 'file:%/{ARTIFACTS}/%' AND instr({column}, ?) != 1"
            if connection.execute(f"SELECT 1 FROM {table} WHERE {away} LIMIT 1", [f"{home}/"]).fetchone():
                moved = f"? || substr({column}, instr({column}, '/{ARTIFACTS}/') + {len(ARTIFACTS) + 1})"
                connection.execute(f"UPDATE {table} SET {column} = {moved} WHERE {away}", [home, f"{home}/"])


def all_runs(uri: str) -> "list[Run]":
    """Every run of a store, newest first."""
    client = client_at(uri)
    runs, token = [], None
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    while True:
        page = client.search_runs(experiments, order_by=["attributes.start_time DESC"], page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs
