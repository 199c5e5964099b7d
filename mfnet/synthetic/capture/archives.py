"""The whole virtual capture: both archives and the table of true parameters, spread over processes."""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch

from mfnet.compute.executor import Compute
from mfnet.datasets import facescape as layout
from mfnet.flame import Flame, load_flame
from mfnet.flame.population import Ranges
from mfnet.io.files import atomic_directory
from mfnet.params import CaptureParams
from mfnet.synthetic.atlas import HeadAtlas, head_atlas
from mfnet.synthetic.capture import facescape, multipie
from mfnet.synthetic.capture.truth import write_truth


@dataclass(frozen=True)
class HeadFile:
    """Which head model to photograph; small enough to send to every worker."""

    path: str
    """The project's npz, which carries landmarks, UV and masks too."""
    n_shape: int
    n_expression: int


def capture(head: HeadFile, params: CaptureParams, compute: Compute, folder: str | Path) -> None:
    """Write ``multipie/``, ``facescape/`` and ``truth.parquet`` into `folder`.

    Bytes depend on the head and `params` alone, not on the number of workers. Without `params.enabled` the two folders
    and the table are empty. Raises InputError for a head without landmarks, UV or a face mask.
    """
    folder = Path(folder)
    with atomic_directory(folder / "multipie") as archive, atomic_directory(folder / "facescape") as benchmark:
        rows = []
        if params.enabled:
            rows += _multipie(head, params, compute, archive)
            rows += _facescape(head, params, compute, benchmark)
        write_truth(rows, folder / "truth.parquet")


def _multipie(head: HeadFile, params: CaptureParams, compute: Compute, root: Path) -> list[dict]:
    recordings, flashes = sorted(set(params.recordings)), sorted(set(params.illuminations))
    plan = multipie.CapturePlan(recordings, flashes, params.seed, params.subjects_ranges)
    numbers = list(range(1, params.subjects + 1))
    task = functools.partial(_subject_task, head, str(root), plan)
    rows = [row for rows in compute.map(task, numbers, "multipie") for row in rows]
    multipie.plant_faults(root, numbers, plan)
    return [row | {"path": f"multipie/{row['path']}"} for row in rows]


def _facescape(head: HeadFile, params: CaptureParams, compute: Compute, root: Path) -> list[dict]:
    per_bin = layout.WILD_ITEMS // len(layout.WILD_BINS)
    wild = [("wild", start * per_bin + i) for start in range(len(layout.WILD_BINS)) for i in range(params.wild_per_bin)]
    lab = [("lab", subject) for subject in range(params.lab_subjects)]
    task = functools.partial(_benchmark_task, head, str(root), params.seed, params.benchmark_ranges)
    items, rows = [], []
    for item, found in compute.map(task, wild + lab, "facescape"):
        items += [item] if item else []
        rows += found
    layout.write_wild_predef(root, items)
    layout.write_lab_predef(root)
    return rows


def _subject_task(head: HeadFile, root: str, plan: multipie.CapturePlan, number: int) -> list[dict]:
    flame, atlas = _studio(head)
    return multipie.write_subject(flame, atlas, Path(root), number, plan)


def _benchmark_task(
    head: HeadFile, root: str, seed: int, population: Ranges, item: tuple[str, int]
) -> tuple[layout.WildItem | None, list[dict]]:
    """(predefined values of a wild item or None, rows of the truth table)."""
    flame, atlas = _studio(head)
    protocol, index = item
    if protocol == "lab":
        return None, facescape.write_lab(flame, atlas, Path(root), index, seed, population)
    wild, row = facescape.write_wild(flame, atlas, Path(root), index, seed, population)
    return wild, [row]


@functools.lru_cache(maxsize=1)
def _studio(head: HeadFile) -> tuple[Flame, HeadAtlas]:
    """What every task of one process shares. One thread, so that no sum depends on how many cores a worker has."""
    torch.set_num_threads(1)
    flame = load_flame(head.path, n_shape=head.n_shape, n_expression=head.n_expression)
    return flame, head_atlas(flame, multipie.TEXTURE_SIZE)
