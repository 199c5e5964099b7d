"""The ``mfnet`` command: one sub-command per thing a user does outside the pipeline."""

import argparse
import importlib
import sys

from mfnet.errors import InputError

# Each room describes its own commands in a module that imports nothing heavy before a command runs.
ROOMS = (
    "mfnet.cli.head",
    "mfnet.cli.benchmark",
    "mfnet.cli.archive",
    "mfnet.cli.table",
    "mfnet.cli.audit",
    "mfnet.cli.reconstruct",
)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="mfnet", description=__doc__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for room in ROOMS:
        importlib.import_module(room).add_commands(commands)
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run one command. Bad input is one line on stderr and exit status 1."""
    args = build_parser().parse_args(argv)
    try:
        args.run(args)
    except InputError as error:
        sys.exit(f"mfnet: error: {error}")
    except BrokenPipeError:
        sys.stderr.close()
