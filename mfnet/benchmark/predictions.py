"""Scoring heads that were predicted in memory, all methods of one item at a time. No torch: workers start fast."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mfnet.datasets.facescape import Item, LabItem, mesh_path
from mfnet.scoring.error_maps import front_view
from mfnet.scoring.loaders import Prediction, to_camera
from mfnet.scoring.meshes import ItemError, Mesh
from mfnet.scoring.score import failed_row, read_truth, score_meshes

PICTURE_PIXELS = 180


@dataclass(frozen=True)
class Face:
    """A predicted head as `mfnet.scoring.loaders.Prediction` has it."""

    vertices: np.ndarray
    """[V, 3] float64: in the item's image cube ([-1, 1]^2, x right, y up, z towards the camera) or, with a focal
    length, before an OpenCV camera."""
    views: str
    """Names of the photographs that were used."""
    n_views: int
    focal: float | None = None
    """Pixels of the 256 px image; None: orthographic."""


@dataclass(frozen=True)
class ItemJob:
    """All methods' predictions of one item, to be scored by one worker."""

    item: Item
    data: Path
    faces: np.ndarray
    predictions: dict[str, Face | ItemError]
    pictures: bool = False


@dataclass(frozen=True)
class ItemScore:
    """The rows of one item, and where asked for the front views of the distances, method -> [180, 180] mm."""

    rows: list[dict]
    pictures: dict[str, np.ndarray] = field(default_factory=dict)


def score_predictions(job: ItemJob) -> ItemScore:
    """Score every method on one item, through the conventions of the official orthographic loaders (as DECA's)."""
    rows, pictures = [], {}
    for method, prediction in job.predictions.items():
        row, errors = _score_one(job, method, prediction)
        used = prediction if isinstance(prediction, Face) else Face(np.empty((0, 3)), "", 0)
        rows.append({**row, "views": used.views, "n_views": used.n_views})
        if job.pictures and errors is not None:
            pictures[method] = front_view(errors, PICTURE_PIXELS).astype(np.float32)
    return ItemScore(rows, pictures)


def _score_one(job: ItemJob, method: str, prediction: Face | ItemError):
    if isinstance(prediction, ItemError):
        return failed_row(job.item, method, prediction), None
    focal = job.item.intrinsics[0, 0] if isinstance(job.item, LabItem) else None
    try:
        if not np.isfinite(prediction.vertices).all():
            raise ItemError("nan_vertices", "the network's head is not finite")
        truth = read_truth(mesh_path(job.data, job.item))
        mesh = to_camera(Prediction(Mesh(prediction.vertices, job.faces), prediction.focal), focal)
    except ItemError as error:
        return failed_row(job.item, method, error), None
    return score_meshes(job.item, truth, mesh, method)
