"""Scoring heads that were predicted in memory, all methods of one item at a time. No torch: workers start fast."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mfnet.datasets.facescape import Item, LabItem, mesh_path
from mfnet.scoring.error_maps import front_view
from mfnet.scoring.loaders import PlacedMesh, to_camera
from mfnet.scoring.meshes import ItemError, Mesh
from mfnet.scoring.metrics import Errors
from mfnet.scoring.score import failed_row, read_truth, score_meshes

FRONT_PIXELS = 180
"""Side of a front view of the distances."""


@dataclass(frozen=True)
class PredictedHead:
    """A predicted head as `mfnet.scoring.loaders.PlacedMesh` has it."""

    vertices: np.ndarray
    """[V, 3] float64: in the item's image cube ([-1, 1]^2, x right, y up, z towards the camera) or, with a focal
    length, before an OpenCV camera."""
    views: str
    """Names of the photographs that were used."""
    n_views: int
    focal: float | None = None
    """Pixels of the 256 px image; None: orthographic."""


@dataclass(frozen=True)
class ItemTask:
    """All methods' predictions of one item, to be scored by one worker."""

    item: Item
    data: Path
    faces: np.ndarray
    predictions: dict[str, PredictedHead | ItemError]
    distances: bool = False
    """Whether the front views of the distances are wanted."""


@dataclass(frozen=True)
class ItemScore:
    """The rows of one item, and where asked for the front views of the distances, method -> [180, 180] mm."""

    rows: list[dict]
    distances: dict[str, np.ndarray] = field(default_factory=dict)


def score_predictions(task: ItemTask) -> ItemScore:
    """Score every method on one item, placed by the conventions of the official loaders (`to_camera`)."""
    rows, distances = [], {}
    for method, prediction in task.predictions.items():
        row, errors = _score_one(task, method, prediction)
        used = prediction if isinstance(prediction, PredictedHead) else PredictedHead(np.empty((0, 3)), "", 0)
        rows.append({**row, "views": used.views, "n_views": used.n_views})
        if task.distances and errors is not None:
            distances[method] = front_view(errors, FRONT_PIXELS).astype(np.float32)
    return ItemScore(rows, distances)


def _score_one(task: ItemTask, method: str, prediction: PredictedHead | ItemError) -> tuple[dict, Errors | None]:
    if isinstance(prediction, ItemError):
        return failed_row(task.item, method, prediction), None
    focal = task.item.intrinsics[0, 0] if isinstance(task.item, LabItem) else None
    try:
        if not np.isfinite(prediction.vertices).all():
            raise ItemError("nan_vertices", "the network's head is not finite")
        truth = read_truth(mesh_path(task.data, task.item))
        mesh = to_camera(PlacedMesh(Mesh(prediction.vertices, task.faces), prediction.focal), focal)
    except ItemError as error:
        return failed_row(task.item, method, error), None
    return score_meshes(task.item, truth, mesh, method)
