"""Arguments that several command lines share; nothing heavy is imported here."""

import argparse


def add_params(parser: argparse.ArgumentParser) -> None:
    """``--params``: the params file."""
    parser.add_argument("--params", default="params.yaml", help="params file (default: %(default)s)")
