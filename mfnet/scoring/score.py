"""Scoring one item, and a whole directory in the official layout."""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mfnet.compute.executor import SERIAL, Compute
from mfnet.datasets.facescape import (
    PUPIL_DISTANCE,
    Item,
    LabItem,
    WildItem,
    camera_fault,
    data_folder,
    lab_items,
    mesh_path,
    wild_items,
)
from mfnet.errors import InputError
from mfnet.io.files import atomic_path, refusals_named
from mfnet.scoring.loaders import FAR_AWAY, LOADERS, load_prediction
from mfnet.scoring.meshes import ItemError, Mesh, read_mesh
from mfnet.scoring.metrics import Comparison, Errors, align, compare

METRICS = {
    "CD": float,
    "median_CD": float,
    "CR": float,
    "MNE": float,
    "mean_normal_angle": float,
    "delta_z": float,
    "image_overlap": int,
    "truth_pixels": int,
    "prediction_pixels": int,
    "common_pixels": int,
    "outward": float,
}
"""Columns that `metrics.compare` fills; without a score they are NaN, and 0 where they count."""

NO_IMAGE_OVERLAP = "no common pixel in the image, so depth is not aligned (the official code goes on in the wild)"


USUAL_HEIGHTS = 0.8, 1.25
"""A prediction's height as a share of the truth's beyond which its row has a remark: the lab's alignment makes up for
most of a wrong unit, so that the numbers alone hide it."""


@dataclass(frozen=True)
class Benchmark:
    """The items of a protocol, and the folder that holds their photographs and ground truths."""

    protocol: str
    """``wild`` or ``lab``."""
    root: Path
    items: list[Item]


@dataclass(frozen=True)
class Submission:
    """One method's predictions for one protocol, as files."""

    protocol: str
    """``wild`` or ``lab``."""
    folder: Path
    loader: str
    """What reads them: a name of `mfnet.scoring.loaders.LOADERS`."""
    method: str
    """Name of the method in the table."""

    @classmethod
    def open(cls, root: str | Path, protocol: str, loader: str, method: str | None = None) -> "Submission":
        """The predictions of `method` (default: the loader's name) below `root` (see `prediction_folder`).

        Raises InputError for an unknown loader or a folder that is not there.
        """
        if loader not in LOADERS:
            raise InputError(f"--loader {loader}: unknown; known: {', '.join(LOADERS)}")
        method = method or loader
        return cls(protocol, prediction_folder(root, protocol, method), loader, method)

    def names(self) -> tuple[str, ...]:
        """Names of the items that there is a mesh for."""
        names = sorted({path.name.split(".")[0] for path in self.folder.iterdir() if path.suffix in (".obj", ".ply")})
        return tuple(name.removesuffix("_detail") for name in names)


@dataclass(frozen=True)
class ScoreTask:
    """What one worker needs to score one item."""

    item: Item
    data: Path
    submission: Submission
    error_maps: Path | None = None
    """Folder to draw the distances into; None: nowhere."""


def score_meshes(item: Item, truth: Mesh, prediction: Mesh, method: str) -> tuple[dict, Errors | None]:
    """Score a prediction in the protocol's camera space (wild: cube units; lab: pupil distances, OpenCV axes).

    truth: the ground truth as its file has it. Returns the table's row and the distances (None without a score).
    """
    unit = item.pupil_scale if isinstance(item, WildItem) else PUPIL_DISTANCE
    try:
        _check_predefined(item)
        truth, prediction = truth.moved(item.to_camera(truth.vertices)), prediction.moved(prediction.vertices * unit)
        _check_reach(truth, "ground truth")
        _check_reach(prediction, "prediction")
        comparison = align(item, truth, prediction)
    except ItemError as error:
        return failed_row(item, method, error), None
    try:
        values, errors = compare(comparison)
    except ItemError as error:
        if comparison.image_overlap == 0:
            error = ItemError("no_overlap", f"{NO_IMAGE_OVERLAP}; {error.reason}")
        return failed_row(item, method, error), None
    status = "ok" if comparison.image_overlap else "no_overlap"
    return {**_identity(item, method), **values, "status": status, "reason": _remarks(comparison, values)}, errors


def score_item(task: ScoreTask) -> dict:
    """Read, score and, where asked for, draw one item. Whatever is wrong with its files is in the row."""
    item, method = task.item, task.submission.method
    try:
        _check_predefined(item)
        truth = read_truth(mesh_path(task.data, item))
        focal = item.intrinsics[0, 0] if isinstance(item, LabItem) else None
        prediction = load_prediction(task.submission.loader, task.submission.folder, item.name, focal)
    except ItemError as error:
        return failed_row(item, method, error)
    row, errors = score_meshes(item, truth, prediction, method)
    if errors is not None and task.error_maps is not None:
        from mfnet.scoring.error_maps import write_error_map

        write_error_map(task.error_maps / f"{method}-{item.name}", errors, f"{method} {item.name}", row)
    return row


@functools.lru_cache(maxsize=2)
def read_truth(path: Path) -> Mesh:
    """The ground truth, kept: in the lab 33 items in a row share one."""
    try:
        return read_mesh(path)
    except ItemError as error:
        raise ItemError("no_ground_truth", error.reason) from None


def _check_predefined(item: Item) -> None:
    values = [item.rotation, item.head_centre]
    if isinstance(item, LabItem):
        camera = f"lab_cam/{item.name}.json"
        if item.unreadable:
            raise ItemError("unreadable", item.unreadable)
        if np.isnan(item.intrinsics).any():
            raise ItemError("no_ground_truth", f"{camera}: no such file")
        if fault := camera_fault(item):
            raise ItemError("unreadable", f"{camera}: {fault}; it belongs to another benchmark or is damaged")
    else:
        values.append(np.array(item.pupil_scale))
    if not all(np.isfinite(value).all() for value in values):
        raise ItemError("no_ground_truth", f"predef/: the values of item {item.name} are NaN")
    if np.abs(item.rotation @ item.rotation.T - np.eye(3)).max() > 1e-3:
        raise ItemError("no_ground_truth", f"predef/: the rotation of item {item.name} is none")


def _check_reach(mesh: Mesh, name: str) -> None:
    """mesh: camera space, mm."""
    if not (np.abs(mesh.vertices) < FAR_AWAY * PUPIL_DISTANCE).all():
        raise ItemError("nan_vertices", f"the {name} has vertices at infinity or 60,000 km away")


def _remarks(comparison: Comparison, values: dict) -> str:
    """What a reader of a scored item's number should know."""
    remarks = []
    low, high = USUAL_HEIGHTS
    if not low <= comparison.height <= high:
        remarks.append(f"{comparison.height:.3g} times as high as the truth: a part of the face, or another unit?")
    if values["image_overlap"] == 0:
        remarks.append(NO_IMAGE_OVERLAP)
    if values["outward"] < 0.5:
        remarks.append("winding looks reversed: most faces turn inwards")
    if comparison.prediction.unreferenced:
        remarks.append(f"{comparison.prediction.unreferenced} vertices in no face")
    if np.isnan(values["MNE"]):
        remarks.append("MNE undefined: a dot product of equal normals rounds to more than 1, as officially")
    return "; ".join(remarks)


def _identity(item: Item, method: str) -> dict:
    lab = isinstance(item, LabItem)
    return {
        "dataset": item.dataset,
        "method": method,
        "index": item.index,
        "name": item.name,
        "bin": item.bin,
        "subject": item.subject if lab else -1,
        "focal": item.focal if lab else -1,
        "view": item.view if lab else -1,
    }


def failed_row(item: Item, method: str, error: ItemError) -> dict:
    """The row of an item without a score: NaN, and why."""
    empty = {name: float("nan") if kind is float else 0 for name, kind in METRICS.items()}
    return {**_identity(item, method), **empty, "status": error.status, "reason": error.reason}


def score_table(rows: list[dict]) -> pd.DataFrame:
    """Rows of `score_item` as a table with fixed column types, sorted by method and index."""
    kinds = {"index": int, "subject": int, "focal": int, "view": int, **METRICS}
    columns = ["dataset", "method", "index", "name", "bin", "subject", "focal", "view", *METRICS, "status", "reason"]
    table = pd.DataFrame(rows, columns=columns + sorted({key for row in rows for key in row} - set(columns)))
    table = table.astype({name: "float64" if kind is float else "int64" for name, kind in kinds.items()})
    return table.sort_values(["method", "index"], kind="stable", ignore_index=True)


def benchmark_items(protocol: str, data: str | Path, predef: str | Path, also: tuple[str, ...] = ()) -> list[Item]:
    """The items of ``wild`` or ``lab``, and those of the names `also`, in index order."""
    if protocol not in ("wild", "lab"):
        raise InputError(f"{protocol}: unknown protocol; wild or lab")
    return list((wild_items if protocol == "wild" else lab_items)(data, predef, also))


def prediction_folder(root: str | Path, protocol: str, method: str) -> Path:
    """Where a method's files lie: ``ROOT/<protocol>_pred/METHOD``, ``ROOT/METHOD`` or ROOT itself."""
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder of predictions; --pred names it")
    for folder in (root / f"{protocol}_pred" / method, root / "pred" / f"{protocol}_pred" / method, root / method):
        if folder.is_dir():
            return folder
    return root


def score_directory(
    submission: Submission,
    data: str | Path,
    predef: str | Path,
    compute: Compute = SERIAL,
    partial: str | Path | None = None,
    error_maps: str | Path | None = None,
) -> pd.DataFrame:
    """Score every item of a protocol: one row for each ground truth and for each prediction without one.

    data: folder of the ground truths; predef: of the predefined arrays. error_maps: folder to draw distances into.
    partial: a file that keeps finished rows; where it exists, its items are not scored again (see `Partial`).
    Raises InputError for an unknown protocol or folders that are not there.
    """
    protocol, method = submission.protocol, submission.method
    items = benchmark_items(protocol, data, predef, submission.names())
    if not items:
        raise InputError(f"{data}: no {protocol} item, neither a ground truth nor a prediction")
    maps = Path(error_maps) if error_maps is not None else None
    run = [protocol, method, submission.loader, str(submission.folder)]
    kept = Partial(partial, run) if partial is not None else None
    rows = list(kept.rows if kept else [])
    done = {row["name"] for row in rows}
    tasks = [ScoreTask(item, data_folder(data), submission, maps) for item in items if item.name not in done]
    for row in compute.map(score_item, tasks, method):
        rows.append(row)
        if kept:
            kept.add(row)
    return score_table(rows)


class Partial:
    """Finished rows of an unfinished run, one JSON line each, after a line that says of which run."""

    def __init__(self, path: str | Path, run: list[str]) -> None:
        self.path, self.rows = Path(path), []
        if self.path.exists():
            lines = list(self._lines())
            if not lines or lines[0] != run:
                raise InputError(f"{self.path}: rows of another run; remove it or run without --resume")
            self.rows = lines[1:]
        whole = [run, *self.rows]  # written anew, because a killed run may have left half a line
        with atomic_path(self.path) as beside:
            beside.write_text("".join(json.dumps(line) + "\n" for line in whole), encoding="utf-8")

    def _lines(self) -> Iterator:
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                return  # the half line of a killed run

    def add(self, row: dict) -> None:
        """Keep a row, on disk before the next one is scored."""
        with refusals_named(self.path), open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
