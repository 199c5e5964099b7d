"""Refined answers beside the feed-forward ones: every person of the benchmark is fitted in a worker process."""

from dataclasses import dataclass, field, fields
from pathlib import Path

import cv2
import torch
from torch import Tensor

from mfnet.compute.compiled import one_thread
from mfnet.compute.executor import SERIAL, Compute
from mfnet.fitting.refine import refine
from mfnet.flame import Flame
from mfnet.flow import load_flow
from mfnet.model.mfnet import Prediction, join
from mfnet.params import RefineParams

PEOPLE = 6
"""People a worker is given at once; every task carries the head model, tens of megabytes."""


@dataclass(frozen=True)
class Refiner:
    """How answers are refined at test time (`mfnet.fitting.refine`)."""

    estimator: str
    """``loss.flow_estimator``."""
    weights: Path
    """Its weights, from stage ``pretrained@flow``."""
    settings: RefineParams
    """``refine``."""
    compute: Compute = SERIAL

    def __call__(
        self, flame: Flame, prediction: Prediction, images: Tensor, landmarks: Tensor
    ) -> tuple[Prediction, Tensor]:
        """Refine the answers for B people on their photographs -> answers, inverse distances [B, V], 1/m.

        images [B, V, 3, H, W] in [0, 1]; landmarks [B, V, 68, 2] ndc of the crops. A person whose answer is not finite
        keeps it. Every fit runs on one thread: the result does not depend on how the work is spread.
        """
        tasks = [
            RefineTask(self, flame, prediction.map(lambda value, rows=rows: value[rows]), images[rows], landmarks[rows])
            for rows in torch.arange(len(images)).split(PEOPLE)
        ]
        parts = self.compute.map(refine_people, tasks, "refine")
        answers, inverse_distance = zip(*(answer for part in parts for answer in part), strict=True)
        return join(answers), torch.stack(inverse_distance)


@dataclass(frozen=True)
class RefineTask:
    """A few people for one worker."""

    refiner: Refiner
    flame: Flame = field(repr=False)
    prediction: Prediction = field(repr=False)
    images: Tensor = field(repr=False)
    landmarks: Tensor = field(repr=False)


def refine_people(task: RefineTask) -> list[tuple[Prediction, Tensor]]:
    """The refined answers, of batch 1 each, and how close their cameras are [V]."""
    cv2.setNumThreads(1)  # DIS flow cuts the image into one stripe per thread, and its result depends on the stripes
    estimator = load_flow(task.refiner.estimator, task.refiner.weights)
    with one_thread():
        return [_refined(task, row, estimator) for row in range(len(task.images))]


def _refined(task: RefineTask, row: int, estimator) -> tuple[Prediction, Tensor]:
    answer = task.prediction.map(lambda value: value[row : row + 1])
    if not all(getattr(answer, each.name).isfinite().all() for each in fields(answer)):
        return answer, torch.zeros(answer.camera.shape[1])
    return refine(task.flame, answer, task.images[row], task.landmarks[row], estimator.flow, task.refiner.settings)[:2]
