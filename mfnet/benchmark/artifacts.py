"""Write the benchmark stage's files: scores, flat metrics, and the heads and error maps that the report shows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mfnet.benchmark.predictions import PredictedHead
from mfnet.benchmark.protocol import BenchmarkResult
from mfnet.datasets.facescape import read_image
from mfnet.errors import InputError
from mfnet.flame import Flame
from mfnet.io.files import atomic_path, write_json, write_table
from mfnet.params import BenchmarkParams
from mfnet.scoring.score import Benchmark
from mfnet.scoring.statistics import summary_rows

FIGURES = ("CD", "CD_low", "CD_high", "MNE", "CR", "items", "done")


def write_benchmark(
    out: str | Path,
    benchmark: Benchmark,
    result: BenchmarkResult,
    shown: Sequence[str],
    flame: Flame,
    params: BenchmarkParams,
) -> dict[str, float | int | None]:
    """Write ``scores.parquet``, ``metrics.json`` and ``meshes.npz`` into `out`; returns the metrics.

    metrics.json: ``<protocol>/<bin>/<method>/<figure>`` -> number, null where there is none.
    meshes.npz: ``faces`` [F, 3]; for each item named in `shown` ``image/NAME`` [256, 256, 3] uint8, and by method
    ``vertices/METHOD/NAME`` [V, 3] float32 in the image cube ([-1, 1]^2, x right, y up, z towards the camera) or, where
    there is a ``focal/METHOD/NAME`` (px of the 256 px image), before an OpenCV camera, and
    ``distance/METHOD/NAME`` [180, 180] float32, mm to the ground truth seen from the front, NaN beside the face.
    """
    out = Path(out)
    rows = summary_rows(result.scores, params.bootstrap, params.seed)
    metrics = {
        f"{row['protocol']}/{row['bin']}/{row['method']}/{figure}": _number(row[figure])
        for row in rows
        for figure in FIGURES
    }
    arrays: dict[str, Any] = {"faces": flame.faces.cpu().numpy().astype(np.int32)}
    for item in benchmark.items:
        if item.name not in shown:
            continue
        try:
            arrays[f"image/{item.name}"] = read_image(benchmark.root, item)
        except InputError:
            continue  # its rows in the scores say missing_image
    for (method, name), face in result.faces.items():
        if name in shown and isinstance(face, PredictedHead):
            arrays[f"vertices/{method}/{name}"] = face.vertices.astype(np.float32)
            if face.focal is not None:
                arrays[f"focal/{method}/{name}"] = np.float64(face.focal)
    arrays |= {f"distance/{method}/{name}": values for (method, name), values in result.distances.items()}
    with atomic_path(out / "meshes.npz") as beside:
        np.savez_compressed(beside, **arrays)
    write_table(result.scores, out / "scores.parquet")
    write_json(metrics, out / "metrics.json")
    return metrics


def _number(value: float | int | np.generic) -> float | int | None:
    """A figure as JSON has it: a plain number, None for NaN."""
    if np.isnan(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def require_disjoint(benchmark: str | Path, plan: str | Path) -> None:
    """Refuse a synthetic benchmark that shows a person who was planned for training.

    It is known from the capture's ``truth.parquet`` beside the `benchmark` folder: no subject of the plan may have the
    name or the shape coefficients of a benchmark subject. Raises InputError.
    """
    benchmark, truth = Path(benchmark), Path(benchmark).parent / "truth.parquet"
    if not truth.exists():
        raise InputError(
            f"benchmark.subject_disjoint: {truth}: no such file; only the synthetic capture can prove it, so set it to "
            "false for a real archive"
        )
    people = pd.read_parquet(truth, columns=["path", "subject", "shape"])
    shown = people[people["path"].str.startswith(f"{benchmark.name}/")]
    planned = set(pd.read_parquet(plan, columns=["subject"])["subject"])
    trained = people[people.loc[:, "subject"].isin(planned) & ~people.index.isin(shown.index)]
    names = set(shown["subject"]) & planned
    shapes = {tuple(shape) for shape in shown["shape"]} & {tuple(shape) for shape in trained["shape"]}
    if names or shapes:
        raise InputError(
            f"benchmark.subject_disjoint: {benchmark}: {len(names)} names and {len(shapes)} shapes of its subjects are "
            f"in {plan} too; capture them anew"
        )
