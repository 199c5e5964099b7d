"""Fit one person: choose the start, fit to landmarks, let flow help where the landmarks do not mind, judge it all."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mfnet.errors import InputError
from mfnet.fitting.noise import landmark_noise
from mfnet.fitting.quality import Verdict, ViewFit, judge, oddness, residuals, view_fits
from mfnet.fitting.refine import FlowEvidence, refine
from mfnet.fitting.start import from_mean, mean_start, yaws
from mfnet.flame import Flame
from mfnet.losses.flow import Estimate
from mfnet.model.parameters import Prediction
from mfnet.params import RefineParams

Start = Literal["network", "mean", "auto"]

FLOW_TOLERANCE = 1.1
"""Flow is kept where the landmarks' residual with it is at most this many times the residual without
(docs/choices/fitting.md)."""


@dataclass(frozen=True)
class Measured:
    """What is known of one person's V photographs."""

    images: Tensor
    """[V, 3, S, S] crops in [0, 1]."""
    landmarks: Tensor
    """[V, 68, 2] ndc of the crops."""
    detector: str
    """What found the landmarks (`mfnet.fitting.noise.SIGMAS`)."""


@dataclass(frozen=True)
class Fit:
    """The fit of one person, and what it is worth."""

    prediction: Prediction
    """Of batch 1."""
    vertex_sigma: Tensor | None
    """[N] metres (`Refined.vertex_sigma`); None for what was not fitted."""
    start: str
    """``network`` or ``mean``."""
    flow: bool
    """Whether flow between the photographs took part."""
    views: list[ViewFit]
    """In the order of the photographs."""
    verdict: Verdict
    reasons: list[str]
    """Why the verdict is not good, one line each."""


@torch.no_grad()
def fit_person(
    flame: Flame,
    measured: Measured,
    predicted: Prediction | None,
    estimate: Estimate | None,
    settings: RefineParams,
    start: Start = "auto",
) -> Fit:
    """Fit a head to the photographs of one person.

    predicted: a network's answer of batch 1, or None where there is none. estimate: flow between two images, or None
    for landmarks alone; it is measured between the first photograph and each other one. start: where the fit begins;
    ``auto`` takes the one whose landmarks lie nearer. settings: those of a fit that starts at a network's answer.

    Raises InputError for ``network`` where there is no network's answer.
    """
    begin, name = choose_start(flame, measured.landmarks, predicted, start)
    if name == "mean":
        settings = from_mean(settings)
    noise = landmark_noise(measured.detector, yaws(begin), settings)
    refined = refine(flame, begin, measured.landmarks, None, settings, noise)
    flow = False
    if estimate is not None and len(measured.landmarks) > 1:
        seeing = refine(flame, begin, measured.landmarks, FlowEvidence(estimate, measured.images), settings, noise)
        without, with_flow = (
            float(residuals(flame, each.prediction, measured.landmarks).mean()) for each in (refined, seeing)
        )
        flow = with_flow <= FLOW_TOLERANCE * without
        refined = seeing if flow else refined
    prediction = refined.prediction
    views = view_fits(flame, prediction, measured.landmarks, noise)
    odd = oddness(prediction.person.shape[0], refined.shape_sigma)
    return Fit(prediction, refined.vertex_sigma, name, flow, views, *judge(views, odd))


@torch.no_grad()
def unfitted(flame: Flame, measured: Measured, predicted: Prediction, settings: RefineParams) -> Fit:
    """A network's answer of batch 1 as it is, judged like a fit."""
    noise = landmark_noise(measured.detector, yaws(predicted), settings)
    views = view_fits(flame, predicted, measured.landmarks, noise)
    odd = oddness(predicted.person.shape[0], torch.zeros_like(predicted.person.shape[0]))
    return Fit(predicted, None, "network", False, views, *judge(views, odd))


def choose_start(
    flame: Flame, landmarks: Tensor, predicted: Prediction | None, start: Start
) -> tuple[Prediction, Literal["network", "mean"]]:
    """Where a fit begins, and its name; as `fit_person`."""
    if start == "network":
        if predicted is None:
            raise InputError("start: there is no network's answer for these photographs; use start: mean")
        return predicted, "network"
    mean = mean_start(flame, landmarks)
    if start == "mean" or predicted is None:
        return mean, "mean"
    nearer = residuals(flame, predicted, landmarks).mean() < residuals(flame, mean, landmarks).mean()
    return (predicted, "network") if nearer else (mean, "mean")
