"""Refine the predictions for many people, each in a worker process."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import torch
from torch import Tensor

from mfnet.compute.compiled import one_thread
from mfnet.compute.executor import SERIAL, Compute
from mfnet.fitting.refine import FlowEvidence, refine
from mfnet.flame import Flame, load_flame
from mfnet.flow import load_flow
from mfnet.losses.flow import Estimate
from mfnet.model.parameters import Prediction
from mfnet.params import RefineParams

PEOPLE = 6
"""People a worker is given at once."""


@dataclass(frozen=True)
class Refiner:
    """How predictions are refined at test time (`mfnet.fitting.refine`).

    Workers read the head and the flow's weights themselves: tens of megabytes that no task carries.
    """

    head: Path
    """The head model, ``data/head/head.npz``."""
    estimator: str
    """``loss.flow_estimator``."""
    weights: Path
    """Its weights, from stage ``pretrained@flow``."""
    settings: RefineParams
    """``refine``."""
    compute: Compute = SERIAL

    def __call__(self, prediction: Prediction, images: Tensor, landmarks: Tensor) -> Prediction:
        """Refine a prediction for B people on their photographs, their cameras' distances included.

        images [B, V, 3, H, W] in [0, 1]; landmarks [B, V, 68, 2] ndc of the crops. A person whose prediction is not
        finite keeps it. Every fit runs on one thread: the result does not depend on how the work is spread.
        """
        tasks = [
            RefineTask(self, prediction[rows], images[rows], landmarks[rows])
            for rows in torch.arange(len(images)).split(PEOPLE)
        ]
        parts = self.compute.map(refine_people, tasks, "refine")
        return Prediction.cat([refined for part in parts for refined in part])


@dataclass(frozen=True)
class RefineTask:
    """A few people for one worker."""

    refiner: Refiner
    prediction: Prediction = field(repr=False)
    images: Tensor = field(repr=False)
    landmarks: Tensor = field(repr=False)


def refine_people(task: RefineTask) -> list[Prediction]:
    """The refined predictions, of batch 1 each."""
    cv2.setNumThreads(1)  # DIS flow cuts the image into one stripe per thread, and its result depends on the stripes
    estimator = load_flow(task.refiner.estimator, task.refiner.weights)
    person = task.prediction.person
    flame = _read_head(task.refiner.head, person.shape.shape[1], person.expression.shape[1]).to(task.images.device)
    with one_thread():
        return [_refine_person(task, flame, row, estimator.flow) for row in range(len(task.images))]


@lru_cache(maxsize=1)
def _read_head(path: Path, n_shape: int, n_expression: int) -> Flame:
    return load_flame(path, n_shape=n_shape, n_expression=n_expression)


def _refine_person(task: RefineTask, flame: Flame, row: int, estimate: Estimate) -> Prediction:
    prediction = task.prediction[row : row + 1]
    if not all(value.isfinite().all() for value in prediction.tensors()):
        return prediction
    flow, settings = FlowEvidence(estimate, task.images[row]), task.refiner.settings
    return refine(flame, prediction, task.landmarks[row], flow, settings).prediction
