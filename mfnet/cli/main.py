"""The ``mfnet`` command: one sub-command per thing a user does outside the pipeline."""

import argparse
import importlib
import sys

from mfnet.errors import InputError

DESCRIPTION = "MFNet: three photographs of a person in, one textured FLAME head out."
# None of these modules imports anything heavy before its command runs.
COMMANDS = (
    "mfnet.cli.reconstruct",
    "mfnet.cli.benchmark",
    "mfnet.cli.table",
    "mfnet.cli.head",
    "mfnet.cli.archive",
    "mfnet.cli.audit",
)
EXTRAS = {
    **dict.fromkeys(("dask", "distributed", "dvc", "great_expectations", "jinja2", "mlflow"), "pipeline"),
    "face_alignment": "fan",
    "nvdiffrast": "gpu",
}
"""Packages that only some commands need -> the extra that brings them."""


class Version(argparse.Action):
    """``--version``, looked up only when it is asked for."""

    def __call__(self, parser, namespace, values, option_string=None):
        import mfnet

        print(f"mfnet {mfnet.__version__}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="mfnet", description=DESCRIPTION)
    parser.add_argument("--version", action=Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(name).add_commands(commands)
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run one command. Bad input is one line on stderr and exit status 1."""
    args = build_parser().parse_args(argv)
    try:
        args.run(args)
    except InputError as error:
        sys.exit(f"mfnet: error: {error}")
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        sys.exit(f"mfnet: error: this needs the package {error.name}; pip install 'mfnet[{extra}]'")
    except BrokenPipeError:
        sys.stderr.close()
