"""Contact sheet: random people of the committed statistics above random people of a scan-derived head, in clay.

    python -m scripts.makehuman.sheet WHEEL MODEL LANDMARKS OUT.png [SEED]

Two rows each, front and three quarters, of the same camera.
"""

import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from mfnet.export.pictures import grid, render_head
from mfnet.io.images import write_png
from scripts.makehuman.mesh import make_mesh
from scripts.makehuman.people import read_directions, read_statistics
from scripts.makehuman.scans import read_scans
from scripts.makehuman.source import Source

PEOPLE = 8
SIZE = 150
YAWS = (0.0, 35.0)


def rows(people: np.ndarray, faces: np.ndarray, size: int = SIZE) -> list[list[np.ndarray]]:
    """Pictures of people [N, V, 3] metres, one row for each of `YAWS`."""
    drawn = SimpleNamespace(faces=torch.from_numpy(faces))  # all that a picture in clay asks of a head model
    heads = torch.from_numpy(people).float()
    return [[render_head(head, drawn, size, yaw) for head in heads] for yaw in YAWS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("wheel", "model", "landmarks", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    arguments = parser.parse_args()
    source = Source(arguments.wheel)
    mesh, scans = make_mesh(source), read_scans(arguments.model, arguments.landmarks)
    coefficients = read_statistics().draw(PEOPLE, arguments.seed)
    ours = read_directions(source).carried(mesh.operator).vertices(coefficients)
    theirs = scans.people(PEOPLE, arguments.seed)
    write_png(grid([*rows(ours, mesh.faces), *rows(theirs, scans.faces)]), arguments.out)


if __name__ == "__main__":
    main()
