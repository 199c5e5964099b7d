"""Fit one person: choose the start, fit to landmarks, let what else there is help where it does, judge it all."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mfnet.errors import InputError
from mfnet.fitting.evidence import Known, mesh_points
from mfnet.fitting.held import Placement, Rig, place
from mfnet.fitting.noise import landmark_noise
from mfnet.fitting.quality import Verdict, ViewFit, judge, oddness, residuals, view_fits
from mfnet.fitting.refine import FlowEvidence, Refined, refine
from mfnet.fitting.start import from_mean, mean_start, yaws
from mfnet.flame import Flame
from mfnet.losses.flow import Estimate
from mfnet.model.parameters import Prediction
from mfnet.params import RefineParams

Start = Literal["network", "mean", "auto"]
Points = Literal["68", "478", "auto"]
Expressions = Literal["shared", "per-view", "auto"]

FLOW_TOLERANCE = 1.1
"""Flow is kept where the landmarks' residual with it is at most this many times the residual without
(docs/choices/fitting.md)."""
OWN_EXPRESSIONS_PX, OWN_EXPRESSIONS = 1.5, 0.75
"""Each view gets an expression of its own where one for all leaves any a residual of more than so many px of 128, and
own ones leave less than this share of the mean (docs/choices/fitting.md)."""
HELD_PX = 8.0
"""Mean residual of the start, px of 128, from which cameras that are held cannot be those of the photographs."""


@dataclass(frozen=True)
class FitChoices:
    """What a user may decide about a fit."""

    start: Start = "auto"
    """Where it begins; ``auto`` takes the one whose landmarks lie nearer."""
    points: Points = "auto"
    """The 68 landmarks, or the 478 points of MediaPipe's mesh; ``auto``: `Measured.mesh` is used where there is one."""
    expressions: Expressions = "auto"
    """One expression for all views, or each its own; ``auto``: own ones where one for all does not do."""


@dataclass(frozen=True)
class Measured:
    """What is known of one person's V photographs."""

    images: Tensor
    """[V, 3, S, S] crops in [0, 1]."""
    landmarks: Tensor
    """[V, 68, 2] ndc of the crops."""
    detector: str
    """What found the landmarks (`mfnet.fitting.noise.SIGMAS`)."""
    mesh: Tensor | None = None
    """[V, 478, 2] ndc of the crops, NaN in views without; None: no view has a mesh."""
    rig: Rig | None = None
    """The cameras, where they are known."""


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
    points: int
    """68 or 478: what it was fitted to."""
    own_expressions: bool
    """Whether each view has an expression of its own."""
    placement: Placement | None
    """Where the head stands before held cameras; None without."""
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
    choices: FitChoices = FitChoices(),
) -> Fit:
    """Fit a head to the photographs of one person.

    predicted: a network's answer of batch 1, or None where there is none. estimate: flow between two images, or None
    for landmarks alone; it is measured between the first photograph and each other one. settings: those of a fit that
    starts at a network's answer.

    Raises InputError for a start or points that cannot be had, and for held cameras that are not those of the
    photographs.
    """
    begin, name = choose_start(flame, measured.landmarks, predicted, choices.start)
    if name == "mean":
        settings = from_mean(settings)
    known = _known(flame, measured, begin, settings, choices.points)
    if measured.rig is not None:
        require_agreement(flame, measured, known, settings)
    own = choices.expressions == "per-view" and len(measured.landmarks) > 1
    refined, known = _by_landmarks(flame, measured, begin, settings, known._replace(own_expressions=own))
    if choices.expressions == "auto":
        refined, known = _freed(flame, measured, begin, settings, (refined, known))
    flow = False
    if estimate is not None and len(measured.landmarks) > 1:
        evidence, last = FlowEvidence(estimate, measured.images), {"iterations": settings.flow_iterations}
        further = known._replace(begin=refined.unknowns)
        seeing = refine(flame, begin, measured.landmarks, evidence, settings.model_copy(update=last), further)
        without, with_flow = (_mean_residual(flame, each, measured, known) for each in (refined, seeing))
        flow = with_flow <= FLOW_TOLERANCE * without
        refined = seeing if flow else refined
    prediction = refined.prediction
    views = view_fits(flame, prediction, measured.landmarks, known)
    odd = oddness(prediction.first_person.shape[0], refined.shape_sigma)
    placement = None if known.rig is None else place(flame, prediction, known.rig)
    points = 68 if known.mesh is None else 478
    return Fit(
        prediction,
        refined.vertex_sigma,
        name,
        flow,
        points,
        known.own_expressions,
        placement,
        views,
        *judge(views, odd),
    )


@torch.no_grad()
def unfitted(flame: Flame, measured: Measured, predicted: Prediction, settings: RefineParams) -> Fit:
    """A network's answer of batch 1 as it is, judged like a fit."""
    known = Known(landmark_noise(measured.detector, yaws(predicted), settings))
    views = view_fits(flame, predicted, measured.landmarks, known)
    odd = oddness(predicted.person.shape[0], torch.zeros_like(predicted.person.shape[0]))
    return Fit(predicted, None, "network", False, 68, False, None, views, *judge(views, odd))


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


def require_agreement(flame: Flame, measured: Measured, known: Known, settings: RefineParams) -> None:
    """Raise InputError where held cameras do not show a head where the landmarks are.

    The mean head is placed before them and fitted in two steps: people differ from it by some px, cameras of other
    photographs, of other sizes, or with an axis the wrong way by tens.
    """
    mean = mean_start(flame, measured.landmarks)
    rough = from_mean(settings).model_copy(update={"iterations": 3})
    placed = refine(flame, mean, measured.landmarks, None, rough, known).prediction
    off = residuals(flame, placed, measured.landmarks)
    if not bool((off < HELD_PX).all()):
        worst = int(off.nan_to_num(torch.inf).argmax())
        raise InputError(
            f"cameras: in photograph {worst + 1} they show the head {off[worst]:.0f} px of 128 from the landmarks (up "
            f"to {HELD_PX:g} are people's differences); they belong to other photographs, or to another size or order "
            "of them, or their axes or unit are not what the file's format says"
        )


def _known(flame: Flame, measured: Measured, begin: Prediction, settings: RefineParams, points: Points) -> Known:
    noise = landmark_noise(measured.detector, yaws(begin), settings)
    mesh = None if points == "68" else mesh_points(flame, measured.mesh, yaws(begin))
    if points == "478" and mesh is None:
        raise InputError(
            "points: no 478 points can be used; they take MediaPipe's landmarks (mfnet assets get), a view within 55 "
            "degrees of the front, and a head that knows them (mfnet head landmarks)"
        )
    return Known(noise, mesh, rig=measured.rig)


def _by_landmarks(
    flame: Flame, measured: Measured, begin: Prediction, settings: RefineParams, known: Known
) -> tuple[Refined, Known]:
    return refine(flame, begin, measured.landmarks, None, settings, known), known


def _freed(
    flame: Flame, measured: Measured, begin: Prediction, settings: RefineParams, shared: tuple[Refined, Known]
) -> tuple[Refined, Known]:
    """The fit with an expression for each view, where one for all does not do."""
    before = residuals(flame, shared[0].prediction, measured.landmarks, shared[1].mesh)
    if len(measured.landmarks) == 1 or float(before.max()) <= OWN_EXPRESSIONS_PX:
        return shared
    apart = _by_landmarks(flame, measured, begin, settings, shared[1]._replace(own_expressions=True))
    after = _mean_residual(flame, apart[0], measured, apart[1])
    return apart if after < OWN_EXPRESSIONS * float(before.mean()) else shared


def _mean_residual(flame: Flame, refined: Refined, measured: Measured, known: Known) -> float:
    return float(residuals(flame, refined.prediction, measured.landmarks, known.mesh).mean())
