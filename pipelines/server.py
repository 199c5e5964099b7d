"""A Prefect server for as long as a schedule is served: the one that flows start by themselves has no scheduler."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pipelines  # noqa: F401  (sets Prefect's environment before its first import)

from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_API_PORT, temporary_settings  # isort: skip

from mfnet.runs.server import unanswered

HOST = "127.0.0.1"
PATIENCE = 120.0
"""Seconds to wait for the server's first answer: on a busy machine it takes a minute."""


@contextmanager
def scheduling_server(port: int | None = None) -> Iterator[str]:
    """Yield the address of the server in the settings, or of one that is started on 127.0.0.1 and ends with the block.

    port: of a server to start (default: Prefect's own, 4200). Raises RuntimeError if it ends or does not answer.
    """
    configured = PREFECT_API_URL.value()
    if configured:
        yield configured
        return
    port = port or PREFECT_SERVER_API_PORT.value()
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://{HOST}:{port}/api"
    try:
        if problem := unanswered(server, address, PATIENCE):
            raise RuntimeError(f"the Prefect server for {address} {problem} Set PREFECT_API_URL")
        with temporary_settings({PREFECT_API_URL: address}):
            yield address
    finally:
        server.terminate()
        server.wait()
