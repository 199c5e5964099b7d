"""The ``mfnet`` command: one sub-command per thing a user does outside the pipeline.

Each command is a typed function; its signature is the command line (typer). Heavy imports wait inside the functions.
"""

import sys
from typing import Annotated

import typer

from mfnet.cli import archive, assets, audit, benchmark, doctor, head, profile, reconstruct, track, ui
from mfnet.errors import InputError

EXTRAS = {
    **dict.fromkeys(
        ("dask", "distributed", "dvc", "great_expectations", "jinja2", "mlflow", "packaging", "psutil"), "pipeline"
    ),
    "face_alignment": "fan",
    "nvdiffrast": "gpu",
}
"""Packages that only some commands need -> the extra that brings them."""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)


def show_version(wanted: bool) -> None:
    """``--version``, looked up only when it is asked for."""
    if wanted:
        import mfnet

        print(f"mfnet {mfnet.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """MFNet: three photographs of a person in, one textured FLAME head out."""


app.command()(reconstruct.reconstruct)
app.add_typer(benchmark.app, name="benchmark")
app.command()(audit.audit)
app.command()(audit.verify)
app.command()(ui.ui)
app.command()(doctor.doctor)
app.command()(profile.profile)
app.command()(archive.archive)
app.add_typer(track.app, name="track")
app.add_typer(head.app, name="head")
app.add_typer(assets.app, name="assets")


def main(argv: list[str] | None = None) -> None:
    """Run one command. Bad input is one line on stderr and exit status 1; bad usage is status 2."""
    try:
        app(argv, prog_name="mfnet", standalone_mode=True)
    except SystemExit as ended:
        if ended.code:
            raise
    except InputError as error:
        sys.exit(f"mfnet: error: {error}")
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        sys.exit(f"mfnet: error: this needs the package {error.name}; pip install 'mfnet[{extra}]'")
    except BrokenPipeError:
        sys.stderr.close()
