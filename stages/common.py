"""What every stage shares: the command line, the params file, and how errors end."""

import argparse
import sys
from collections.abc import Callable

from mfnet.cli.arguments import add_params
from mfnet.errors import InputError
from mfnet.params import Params, load_params


def stage_parser(description: str) -> argparse.ArgumentParser:
    """A stage's command line: ``--params`` and what the stage adds."""
    parser = argparse.ArgumentParser(description=description)
    add_params(parser)
    return parser


def run_stage(run: Callable[[Params, argparse.Namespace], None], parser: argparse.ArgumentParser, argv=None) -> None:
    """Parse, validate, run. Bad input is one line on stderr and exit status 1; a defect keeps its traceback."""
    args = parser.parse_args(argv)
    try:
        run(load_params(args.params), args)
    except InputError as error:
        sys.exit(f"{parser.prog}: error: {error}")
