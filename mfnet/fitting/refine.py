"""Fit the network's prediction to the photographs' landmarks and to the flow between them, at test time.

Levenberg-Marquardt finds the most probable head: residuals are divided by the standard deviations of their errors,
priors are unit normal in sigma units, and the network's prediction counts as one more, rough measurement. The curvature
at the end gives the uncertainty of every vertex.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mfnet.fitting.candidates import Candidates
from mfnet.fitting.correspondences import Correspondences, FlowMatcher
from mfnet.fitting.evidence import Known, mesh_errors
from mfnet.fitting.held import HeldUnknowns
from mfnet.fitting.noise import PAIRS, same_everywhere
from mfnet.fitting.unknowns import Unknowns
from mfnet.flame import Flame
from mfnet.landmarks.ibug import N_CONTOUR
from mfnet.losses.flow import Estimate
from mfnet.model.parameters import Prediction
from mfnet.model.projection import decode
from mfnet.params import RefineParams

LEAST_DAMPING = 1e-9
"""What steps that succeed bring the damping down to: without any, float32 cannot solve what the data leave open."""
CHUNK = 16
"""Vectors of unknowns evaluated at once: memory against speed."""


class Refined(NamedTuple):
    """The fit of one person."""

    prediction: Prediction
    """Of batch 1, with the cameras' inverse distances; albedo and light are the network's own."""
    vertex_sigma: Tensor
    """[N] metres: standard deviation of each vertex of the unrotated head, by the Laplace approximation."""
    shape_sigma: Tensor
    """[n_shape] standard deviation of each shape coefficient, by the same."""
    unknowns: Tensor
    """[n] where the fit ended, from which another one may go on (`Known.begin`)."""


class FlowEvidence(NamedTuple):
    """Optical flow between the photographs of one person."""

    estimate: Estimate
    """Flow in pixels between two images (`mfnet.losses.flow.Estimate`)."""
    images: Tensor
    """[V, 3, H, W] in [0, 1]."""


@torch.no_grad()
def refine(
    flame: Flame,
    prediction: Prediction,
    landmarks: Tensor,
    flow: FlowEvidence | None,
    settings: RefineParams,
    known: Known | None = None,
) -> Refined:
    """Refine a network's prediction for one person seen in V views.

    prediction: of batch 1; landmarks [V, 68, 2] ndc of the crops; flow: None for landmarks alone. With one view there
    is no flow to use; with more it is measured between the first and each other one. known: what else is known; None:
    nothing, and the noise of the landmarks is that of `settings` in every view.
    """
    problem = FitProblem(flame, prediction, landmarks, settings, known)
    matcher = None
    if flow is not None and len(landmarks) > 1:
        matcher = FlowMatcher(flame, flow.estimate, settings.spacing, settings.flow_cap)
    unknowns, damping, found = problem.start if problem.known.begin is None else problem.known.begin, 1e-3, None
    for iteration in range(settings.iterations):
        if matcher is not None and flow is not None and iteration >= settings.iterations - settings.flow_iterations:
            found = matcher(problem.layout.prediction(unknowns[None]), flow.images)
        unknowns, damping = damped_step(problem, unknowns, found, damping)
    _, jacobian = problem.linearised(unknowns, found)
    fitted = problem.layout.prediction(unknowns[None])
    covariance = person_covariance(problem.layout, jacobian.mT @ jacobian)
    return Refined(
        fitted.with_inverse_distance(fitted.views.inverse_distance.clamp_min(0)),
        vertex_sigma(flame, problem.layout, unknowns, covariance),
        covariance.diagonal()[: flame.n_shape].sqrt().to(unknowns),
        unknowns,
    )


class FitProblem:
    """Residuals of one person's fit as a function of a vector of n `Unknowns`, and their derivatives.

    Derivatives are differences, which are exact enough here (the head is linear in its codes and nearly so in small
    rotations) and need one decoding per unknown.
    """

    def __init__(
        self,
        flame: Flame,
        prediction: Prediction,
        landmarks: Tensor,
        settings: RefineParams,
        known: Known | None = None,
    ) -> None:
        """As `refine` takes them."""
        self.flame, self.near = flame, _seen_by_landmarks(flame, known)
        self.landmarks = landmarks
        self.settings = settings
        self.known = known or Known(same_everywhere(settings, len(landmarks)))
        self.noise = self.known.believed_noise().to(landmarks)
        self.layout = _layout(flame, prediction, self.known)
        self.start = self.layout.start(settings.inverse_distance)
        self.start_sigma = self.layout.constants(
            settings.network, settings.pose, settings.camera, settings.inverse_distance
        )
        self.difference = self.layout.constants(0.02, 0.002, 0.002, 0.01)
        self.visible = decode(flame, prediction).visible[0]  # [V, 68]

    def residuals(self, unknowns: Tensor, flow: Correspondences | None) -> Tensor:
        """All residuals [K, R] of K vectors [K, n], in standard deviations; those of images as `huber_root`."""
        settings = self.settings
        prediction = self.layout.prediction(unknowns)
        flame = self.near if flow is None else self.flame  # flow may lie anywhere on the head
        heads = Candidates.of(flame, prediction)
        images = self._landmark_residuals(flame, heads)
        if flow is not None:
            images.append(flow.errors(heads).flatten(1) / settings.flow)
        codes = unknowns[:, : self.layout.codes_size] / settings.coefficient
        from_start = (unknowns - self.start) / self.start_sigma
        return torch.cat([huber_root(torch.cat(images, 1), settings.robust), codes, from_start], 1)

    def _landmark_residuals(self, flame: Flame, heads: Candidates) -> list[Tensor]:
        """Contour, other landmarks, openings of eyes and lips, mesh points, each [K, R]; flame: of the heads."""
        error = (heads.projected_landmarks() - self.landmarks) * self.visible[..., None]  # [K, V, 68, 2]
        upper, lower = torch.tensor(PAIRS, device=error.device).T
        scaled = error / self.noise.points[..., None]
        openings = (error[:, :, upper] - error[:, :, lower]) / self.noise.openings[..., None]
        parts = [scaled[:, :, :N_CONTOUR], scaled[:, :, N_CONTOUR:], openings]
        if self.known.mesh is not None:
            parts.append(mesh_errors(flame, heads, self.known.mesh))
        return [part.flatten(1) for part in parts]

    def linearised(self, unknowns: Tensor, flow: Correspondences | None) -> tuple[Tensor, Tensor]:
        """Residuals [R] at unknowns [n], and their Jacobian [R, n]."""
        nearby = torch.cat([unknowns[None], unknowns + self.difference.diag()])
        values = torch.cat([self.residuals(part, flow) for part in nearby.split(CHUNK)])
        return values[0], ((values[1:] - values[0]) / self.difference[:, None]).T


def _seen_by_landmarks(flame: Flame, known: Known | None) -> Flame:
    """The part of the head that landmarks and mesh points lie on: a tenth to a quarter of it."""
    corners = flame.landmark_corners
    if known is not None and known.mesh is not None:
        corners = torch.cat([corners, flame.dense_corners.flatten()]).unique()
    return flame.restricted(corners)


def _layout(flame: Flame, prediction: Prediction, known: Known) -> Unknowns:
    """The unknowns of a fit that starts at a prediction of batch 1."""
    if known.rig is None:
        return Unknowns(prediction, known.own_expressions)
    return HeldUnknowns(prediction, known.own_expressions, flame, known.rig)


def huber_root(residuals: Tensor, limit: float) -> Tensor:
    """Roots of Huber's cost: residuals up to `limit`; beyond, they grow as a square root, so the cost is linear."""
    size = residuals.abs()
    beyond = (2 * limit * size - limit**2).clamp_min(limit**2).sqrt() * residuals.sign()
    return torch.where(size <= limit, residuals, beyond)


def damped_step(
    problem: FitProblem, unknowns: Tensor, flow: Correspondences | None, damping: float
) -> tuple[Tensor, float]:
    """One Levenberg-Marquardt step: the damping grows until the cost falls; where it never does, nothing moves."""
    residuals, jacobian = problem.linearised(unknowns, flow)
    information, gradient = jacobian.mT @ jacobian, jacobian.mT @ residuals
    for _ in range(6):
        damped = information + damping * information.diagonal().diag()
        moved = unknowns - torch.linalg.solve(damped, gradient)
        if problem.residuals(moved[None], flow).square().sum() < residuals.square().sum():
            return moved, max(damping / 4, LEAST_DAMPING)
        damping *= 10
    return unknowns, damping


def person_covariance(layout: Unknowns, information: Tensor) -> Tensor:
    """Covariance of the person's unknowns, those of the views summed over, float64; information [n, n]: the Hessian."""
    return torch.linalg.inv(information.double())[: layout.person_size, : layout.person_size]


def vertex_sigma(flame: Flame, layout: Unknowns, unknowns: Tensor, covariance: Tensor) -> Tensor:
    """Standard deviation [N] of the unrotated head's vertices: root mean square over x, y and z, metres.

    unknowns [n]: the fit; covariance: of the person's (`person_covariance`).
    """
    size = layout.person_size
    root = torch.linalg.cholesky(covariance).to(unknowns)  # columns: independent one-sigma changes of the codes
    moved = unknowns[:size] + torch.cat([torch.zeros_like(root[:, :1]), root], 1).T  # [1 + size, size]
    person = layout.person(moved)
    if layout.own_expressions:
        person = person.map(lambda code: code[:, 0])
    unrotated = torch.zeros_like(person.jaw_pose)
    vertices = flame(person.shape, person.expression, unrotated, jaw_pose=person.jaw_pose).vertices
    return (vertices[1:] - vertices[0]).square().sum(0).mean(-1).sqrt()
