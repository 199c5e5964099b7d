"""A Prefect server for as long as flows need it: on the loopback, for pages of its own alone, gone with its parent.

The one that flows start by themselves has no scheduler, lets every web page start runs, and outlives a killed flow.
"""

import atexit
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pipelines  # noqa: F401  (sets Prefect's environment before its first import)

from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_API_PORT, temporary_settings  # isort: skip

from mfnet.runs.server import free_port, unanswered
from pipelines.parent import end_with

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

HOST = "127.0.0.1"
PATIENCE = 600.0
"""Seconds to wait for the server's first answer: a new database takes minutes on a busy machine."""

LIGHT = {
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT_UI_ENABLED": "0",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
}
"""What a server without scheduler leaves out, by Prefect's own switches: services, pages, the catalogue of blocks."""


@contextmanager
def prefect_server(
    scheduler: bool = False, port: int | None = None, meanwhile: Callable[[], object] = lambda: None
) -> Iterator[str]:
    """Yield the address of the server in the settings, or of one that is started on 127.0.0.1 and ends with the block.

    Args:
        scheduler: whether a server to start has Prefect's services and its pages; then at Prefect's own port, 4200.
        port: another one; without a scheduler the default is any that is free.
        meanwhile: called while the server starts, which takes seconds.

    Raises RuntimeError if it ends or does not answer.
    """
    if configured := PREFECT_API_URL.value():
        meanwhile()
        yield configured
        return
    port = port or (PREFECT_SERVER_API_PORT.value() if scheduler else free_port())
    command = [sys.executable, "-m", "pipelines.server", str(os.getpid()), str(port)]
    light = {} if scheduler else LIGHT
    server = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[1],
        env=os.environ | light | {"PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the flow, which still has to tell the server how it ended
    )
    address = f"http://{HOST}:{port}/api"
    try:
        meanwhile()
        if problem := unanswered(server, address, PATIENCE):
            raise RuntimeError(f"the Prefect server for {address} {problem} Set PREFECT_API_URL")
        with temporary_settings({PREFECT_API_URL: address}):
            yield address
    finally:
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def server_until_exit(
    scheduler: bool = False, port: int | None = None, meanwhile: Callable[[], object] = lambda: None
) -> str:
    """The address of `prefect_server`, which ends when this process exits.

    Not with a block: Prefect's threads send the last log lines after all blocks have ended, and before atexit.
    """
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(prefect_server(scheduler, port, meanwhile))


class OwnPages:
    """Refuses what a page of another site makes a browser send: another Host (DNS rebinding) or another Origin.

    Prefect answers any Host, and CORS alone stops no request, only its answer from being read.
    """

    def __init__(self, app: "ASGIApp", port: int) -> None:
        self.app = app
        self.hosts = {f"{name}:{port}".encode() for name in (HOST, "localhost")}

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass on, or answer 403 (a refused WebSocket is one as well)."""
        from starlette.responses import PlainTextResponse
        from starlette.websockets import WebSocketClose

        headers = dict(scope.get("headers", []))
        origin = headers.get(b"origin")
        own = headers.get(b"host") in self.hosts and (origin is None or origin.removeprefix(b"http://") in self.hosts)
        if scope["type"] == "lifespan" or own:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(1008)(scope, receive, send)
        else:
            await PlainTextResponse("not a page of this server", 403)(scope, receive, send)


def main(argv: list[str]) -> None:
    """Serve at a port until the process with the given id, the parent, is gone."""
    import uvicorn
    from prefect.server.api.server import create_app

    parent, port = map(int, argv)
    end_with(parent)
    uvicorn.run(OwnPages(create_app(final=True), port), host=HOST, port=port, log_level="error", lifespan="on")


if __name__ == "__main__":
    main(sys.argv[1:])
