"""MLflow's server for the runs of a workspace, on the loopback alone."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import FrameType

from mfnet.errors import InputError
from mfnet.runs.store import ARTIFACTS, client_at, database

HOST = "127.0.0.1"
PATIENCE = 180.0
"""Seconds to wait for the server's first answer: on a busy machine it takes a minute."""
COMPARED = ("ablation", "pipeline")
"""Experiments that one looks at first, the best one first."""


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    url: str
    process: subprocess.Popen

    def wait(self) -> None:
        """Until it ends or Ctrl-C is pressed."""
        try:
            self.process.wait()
        except KeyboardInterrupt:
            pass


def comparison(uri: str, server: str) -> str:
    """Address of the charts that compare runs: of the ablation, or of what there is."""
    client = client_at(uri)
    for name in COMPARED:
        if (experiment := client.get_experiment_by_name(name)) is not None:
            return f"{server}/#/experiments/{experiment.experiment_id}/runs?compareRunsMode=CHART"
    return server


@contextmanager
def served(uri: str, port: int = 0) -> Iterator[Server]:
    """A server of the SQLite store `uri` that ends with the block. port: 0 for any that is free.

    Raises InputError where it ends at once or never answers.
    """
    path = database(uri)
    assert path is not None  # a server needs no other
    client_at(uri)  # made, and at home, before the server's processes look at it
    port = port or free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", uri, "--artifacts-destination", str(path.parent / ARTIFACTS)]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    previous = signal.signal(signal.SIGTERM, _end)
    server = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        url = f"http://{HOST}:{port}"
        if problem := unanswered(server, url, PATIENCE):
            raise InputError(f"{url}: MLflow's server {problem} --port 0 takes a free one")
        yield Server(url, server)
    finally:
        signal.signal(signal.SIGTERM, previous)
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with closing(socket.socket()) as opened:
        opened.bind((HOST, 0))
        return opened.getsockname()[1]


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def unanswered(server: subprocess.Popen, url: str, patience: float) -> str:
    """Wait until `url`/health answers, at most `patience` seconds: nothing, or why it does not."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if server.poll() is not None:
            return "ended at once; is the port taken?"
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return ""
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    return f"did not answer within {patience:.0f} s."
