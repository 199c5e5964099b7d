"""``mfnet track``: the runs that MLflow has not got yet."""

import typer

from mfnet.errors import InputError

app = typer.Typer(no_args_is_help=True, help="Runs on their way to MLflow.")


@app.callback()
def options() -> None:
    """Runs on their way to MLflow."""


@app.command()
def sync() -> None:
    """Send what could not be sent when it was recorded, and end the runs of killed stages.

    Exit status 1 where a run cannot be sent: it stays, for another try.
    """
    from mfnet.runs.outbox import workspace
    from mfnet.runs.sender import sync as send_all

    root = workspace()
    try:
        sent, left = send_all(root)
    except Exception as error:  # whatever a store answers: nothing is lost
        raise InputError(
            f"{root}: runs wait; the store cannot take them: {' '.join(str(error).split())[:300]}"
        ) from None
    print(f"{sent} runs sent, {left} still at work")
