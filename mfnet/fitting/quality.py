"""What a fit is worth: how far the head's landmarks lie from the detected ones, and a verdict on that."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mfnet.fitting.candidates import Candidates
from mfnet.fitting.evidence import Known, MeshPoints, projected_mesh
from mfnet.fitting.noise import NDC, REGIONS
from mfnet.fitting.start import yaws
from mfnet.flame import Flame
from mfnet.landmarks.ibug import N_CONTOUR
from mfnet.model.parameters import Prediction
from mfnet.model.projection import DecodedHeads, decode

Verdict = Literal["good", "doubtful", "refused"]

DOUBTFUL_PX, REFUSED_PX = 2.4, 3.2
"""Residual of a view, px of a 128 px crop, above which its fit is doubtful or refused (docs/choices/fitting.md)."""
ODD_SHAPE = 1.25
"""`oddness` above which a fit is doubtful."""
BEHIND = 100.0
"""Degrees of yaw from which no landmark of a face is seen."""
DISAGREES = 3.0
"""A landmark farther from the head's than this many standard deviations disagrees."""
FRONTAL = 10.0
"""A view turned less than this, degrees, is called frontal."""


@dataclass(frozen=True)
class ViewFit:
    """How well the head agrees with one photograph."""

    yaw: float
    """Degrees; > 0 shows the subject's right cheek (docs/conventions.md)."""
    residual_px: float
    """Mean distance of the landmarks from brows to mouth that this view shows, px of a 128 px crop; the jaw line, which
    slides, is left out. Of a fit to the mesh: of its 478 points."""
    residual_mm: float
    """The same in the image plane, at the face, mm."""
    disagreeing: list[int]
    """Landmarks, iBUG's order, that lie farther off than their noise explains."""

    @property
    def name(self) -> str:
        """``frontal``, or the side of the subject that the camera stood on, ``left`` or ``right``."""
        if abs(self.yaw) < FRONTAL:
            return "frontal"
        return "right" if self.yaw > 0 else "left"

    @property
    def disagreement(self) -> str:
        """`disagreeing` by regions: ``jaw (5 of 17), mouth (1 of 20)``; empty where none disagrees."""
        counts = {name: len(set(members) & set(self.disagreeing)) for name, members in REGIONS.items()}
        return ", ".join(f"{name} ({count} of {len(REGIONS[name])})" for name, count in counts.items() if count)


def network_slots(turned: list[float]) -> list[int] | None:
    """Which of three views at yaws `turned`, degrees, are frontal, left and right, as the network wants them.

    None where they are not three, or not one from each side and one between that is nearest to the front.
    """
    if len(turned) != 3:
        return None
    left, middle, right = sorted(range(3), key=lambda row: turned[row])
    sides = turned[left] < -FRONTAL and turned[right] > FRONTAL
    frontal = abs(turned[middle]) < min(-turned[left], turned[right])
    return [middle, left, right] if sides and frontal else None


def view_fits(flame: Flame, prediction: Prediction, landmarks: Tensor, known: Known) -> list[ViewFit]:
    """How well a prediction of batch 1 agrees with landmarks [V, 68, 2], ndc of the crops, in each view."""
    heads = decode(flame, prediction)
    residual = NDC * residuals(flame, prediction, landmarks, known.mesh)
    scale = prediction.views.camera[0, :, 0]
    distance = _distances(heads, landmarks)
    far = (distance > DISAGREES * known.noise.points.to(distance)) & heads.visible[0].bool()
    return [
        ViewFit(float(turn), float(off) / NDC, 1000 * float(off / size), row.nonzero()[:, 0].tolist())
        for turn, off, size, row in zip(yaws(prediction), residual, scale, far, strict=True)
    ]


def residuals(flame: Flame, prediction: Prediction, landmarks: Tensor, mesh: MeshPoints | None = None) -> Tensor:
    """[V] `ViewFit.residual_px` of a prediction of batch 1; landmarks [V, 68, 2] ndc of the crops.

    In views whose mesh takes part it is that of the mesh's points.
    """
    heads = decode(flame, prediction)
    sparse = inner_mean(_distances(heads, landmarks), heads.visible[0]) / NDC
    if mesh is None:
        return sparse
    off = projected_mesh(flame, Candidates.of(flame, prediction))[0] - mesh.points
    return torch.where(mesh.believed, off.norm(dim=-1).mean(1) / NDC, sparse)


def _distances(heads: DecodedHeads, landmarks: Tensor) -> Tensor:
    """[V, 68] ndc."""
    return (heads.landmarks[0] - landmarks).norm(dim=-1)


def inner_mean(distance: Tensor, visible: Tensor) -> Tensor:
    """Mean [V] of distances [V, 68] over the visible landmarks from brows to mouth."""
    distance, visible = distance[:, N_CONTOUR:], visible[:, N_CONTOUR:]
    return (distance * visible).sum(1) / visible.sum(1).clamp_min(1)


def oddness(shape: Tensor, sigma: Tensor) -> float:
    """How far a fitted shape [n] is from the mean head, in units of what people of the head's statistics come to.

    sigma [n]: of the coefficients after the fit. A fit pulls towards the mean: for a person drawn from N(0, 1) the
    square of a fitted coefficient is on average 1 - sigma^2.
    """
    expected = (1 - sigma.square()).clamp_min(0).sum()
    return float((shape.square().sum() / expected.clamp_min(1e-9)).sqrt())


def judge(views: list[ViewFit], odd: float) -> tuple[Verdict, list[str]]:
    """A verdict on a person's fit, and the reasons where it is not good; odd: the shape's `oddness`."""
    reasons = [f"photograph {number}: {fault}" for number, view in enumerate(views, 1) for fault in _faults(view)]
    if not odd <= ODD_SHAPE:
        reasons.append(
            f"the shape is {odd:.1f} times as far from the mean head as people are; are the photographs of one person, "
            "and as tall and wide as they were taken?"
        )
    if any(not view.residual_px <= REFUSED_PX or not abs(view.yaw) <= BEHIND for view in views):  # NaN too
        return "refused", reasons
    return ("doubtful" if reasons else "good"), reasons


def _faults(view: ViewFit) -> list[str]:
    """What is wrong with one view, for a person."""
    if not abs(view.yaw) <= BEHIND:
        return ["the landmarks are those of a head from behind, or of its mirror image"]
    if not view.residual_px <= DOUBTFUL_PX:
        place = f", above all {view.disagreement}" if view.disagreement else ""
        return [
            f"the landmarks lie {view.residual_mm:.1f} mm ({view.residual_px:.1f} px of 128) from the head's{place}; "
            f"good fits come within {DOUBTFUL_PX} px"
        ]
    return []
