"""What every stage shares: the command line, the params file, tracking, and how errors end."""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mfnet.compute.memory import keep_freed_memory
from mfnet.errors import InputError
from mfnet.io.files import refusals_named
from mfnet.params import Params, load_params
from mfnet.tracking import Run

SCRATCH = Path(".mfnet")
"""Half-done work and DVC's site cache, for nobody else to read or write."""

Stage = Callable[[Params, argparse.Namespace, Run], None]
"""What a stage does with the params, its command line and the run that records it."""


def stage_parser(description: str | None) -> argparse.ArgumentParser:
    """A stage's command line: ``--params`` and what the stage adds."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--params", default="params.yaml", help="params file (default: %(default)s)")
    return parser


def run_stage(
    run: Stage,
    parser: argparse.ArgumentParser,
    argv: list[str] | None = None,
    vary: Callable[[Params, argparse.Namespace], Params] | None = None,
) -> None:
    """Parse, validate, run, track. Bad input is one line on stderr and exit status 1; a defect keeps its traceback.

    vary: changes the params as the command line asks, before they are used and recorded.
    """
    args = parser.parse_args(argv)
    keep_freed_memory()
    try:
        if SCRATCH.is_dir():
            with refusals_named(SCRATCH):
                SCRATCH.chmod(0o700)  # DVC makes its site cache in it for everybody to write
        params = load_params(args.params)
        if vary is not None:
            params = vary(params, args)
        with recording(params) as record:
            run(params, args, record)
    except InputError as error:
        sys.exit(f"{parser.prog}: error: {error}")


def recording(params: Params) -> AbstractContextManager[Run]:
    """The MLflow run of the stage that DVC runs here, or a run that records nothing.

    A stage started by hand leaves dvc.lock as it is, so no record of it could be held against the lock. Of the
    processes that torchrun starts, the first one alone is tracked.
    """
    address = os.environ.get("DVC_STAGE")
    if address is None or int(os.environ.get("RANK", "0")) > 0:
        return nullcontext(Run())
    from stages.provenance import recorded

    return recorded(address, params)
