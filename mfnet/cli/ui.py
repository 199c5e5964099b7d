"""``mfnet ui``: MLflow's pages on this machine."""

from typing import Annotated

import typer

from mfnet.errors import InputError


def ui(port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0: any that is free.")] = 0) -> None:
    """Serve the runs of this workspace and print the address of the comparison; Ctrl-C ends it."""
    from mfnet.runs.outbox import workspace
    from mfnet.runs.server import comparison, served
    from mfnet.runs.store import address, database

    uri = address(workspace())
    path = database(uri)
    if path is None:
        print(f"{comparison(uri, uri)} (MLFLOW_TRACKING_URI: that server runs already)")
        return
    if not path.is_file():
        raise InputError(f"{path}: no runs yet; run `dvc repro` first, or `mfnet track sync`")
    with served(uri, port) as server:
        print(comparison(uri, server.url), flush=True)
        server.wait()
