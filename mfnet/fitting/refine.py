"""Refinement at test time: from the network's answer on, the head is fitted to the photographs' landmarks and to the
flow between them by Gauss-Newton, with priors; the curvature at the end gives the uncertainty of every vertex.

The fit is the most probable head: residuals are divided by what their errors measure, priors are unit normal in sigma
units, and the network's own answer counts as one more, rough measurement.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mfnet.geometry import perspective_divisor, pixels_to_ndc, project_orthographic, reference_depth, triangle_map
from mfnet.landmarks.ibug import EYE_PAIRS, LIP_PAIRS, N_CONTOUR
from mfnet.losses.flow import Estimate, flow_to_ndc, trusted_flow
from mfnet.losses.multiview import PAIRS, STEEPEST
from mfnet.model.mfnet import Prediction
from mfnet.model.projection import ViewParameters, decode
from mfnet.render import ProjectedMesh, comparable_faces, covisible_by_geometry, orthographic_view, render_cross_view
from mfnet.render.view import ndc

MAX_FLOW = 0.2
"""Longer flow (ndc) is a failure of the estimator."""


@dataclass(frozen=True)
class RefineSettings:
    """What is believed, and how long to look. Standard deviations; images are ndc of the crop."""

    landmark: float = 0.013
    """Of a detected landmark, ndc (0.8 px of 128)."""
    contour: float = 0.025
    """Of a detected jaw-line landmark, ndc: it slides along the outline."""
    opening: float = 0.014
    """Of the distance between two lids or lips, ndc."""
    flow: float = 0.025
    """Of one flow vector, ndc (1.6 px of 128): more than it errs, for neighbours err together."""
    coefficient: float = 1.0
    """Of shape and expression coefficients about the mean head, sigma units."""
    network: float = 0.7
    """Of the network's coefficients, sigma units."""
    pose: float = 0.1
    """Of the network's rotations and jaw, radians."""
    camera: float = 0.1
    """Of the network's camera, relative in scale, and in units of 0.1 m in shift."""
    inverse_distance: float = 0.8
    """Of the camera's inverse distance, 1/m, about itself: a portrait is taken from 0.6 m and farther."""
    iterations: int = 5
    """Gauss-Newton steps; the flow is measured anew before each of the last `flow_iterations`."""
    flow_iterations: int = 3
    """Steps that see flow; the first ones bring the views together by landmarks, within the flow's reach."""
    spacing: int = 6
    """Every n-th pixel in both directions gives a flow vector."""
    robust: float = 2.0
    """Residuals beyond this many standard deviations count linearly (Huber)."""


class Refined(NamedTuple):
    """The refined answer for one person."""

    prediction: Prediction
    """Of batch 1, as the network's; albedo and light are the network's own."""
    inverse_distance: Tensor
    """[V] 1 / distance of each camera from the landmarks' mean depth, 1/m, at least 0."""
    vertex_sigma: Tensor
    """[N] metres: standard deviation of each vertex of the head at rest (unturned), by the Laplace approximation."""


class Correspondences(NamedTuple):
    """Skin that two photographs show, M pieces in all: at `origin` in view a, at `target` in view b.

    Which point of the head it is, texture cannot say: only that one point of the surface lies at both places. A point
    that slides along the surface moves by `slide` times as much in view b as in view a.
    """

    view_a: Tensor  # [M] index of the view
    view_b: Tensor  # [M]
    corners: Tensor  # [M, 3] vertices of the triangle that the estimate has there
    weights: Tensor  # [M, 3] barycentric
    origin: Tensor  # [M, 2] ndc
    target: Tensor  # [M, 2] ndc
    slide: Tensor  # [M, 2, 2]


@torch.no_grad()
def refine(
    flame,
    prediction: Prediction,
    images: Tensor,
    landmarks: Tensor,
    estimate: Estimate | None,
    settings: RefineSettings | None = None,
) -> Refined:
    """Refine a network's answer for one person seen in V views.

    prediction: of batch 1; images [V, 3, H, W] in [0, 1]; landmarks [V, 68, 2] ndc of the crops; estimate: flow in
    pixels between two images (as `FlowEstimator.flow`), or None for landmarks alone. With one view there is no flow
    to use.
    """
    settings = settings or RefineSettings()
    problem = _Problem(flame, prediction, landmarks, settings)
    unknowns, damping = problem.start, 1e-3
    for iteration in range(settings.iterations):
        flow = None
        if estimate is not None and len(images) > 1 and iteration >= settings.iterations - settings.flow_iterations:
            flow = correspondences(problem, unknowns, images, estimate, settings.spacing)
        unknowns, damping = _step(problem, unknowns, flow, damping)
    _, jacobian = problem.linearised(unknowns, flow)
    inverse_distance = problem.split(unknowns[None])[-1][0].clamp_min(0)
    return Refined(
        problem.prediction(unknowns), inverse_distance, problem.vertex_sigma(unknowns, jacobian.mT @ jacobian)
    )


class _Problem:
    """Residuals of one person's fit as a function of a vector of n unknowns: shape, expression, jaw, poses, cameras,
    and how close each camera is.

    Functions take K vectors at once, [K, n]; derivatives are differences, which are exact enough here (the head is
    linear in its codes and nearly so in small turns) and need one decoding per unknown.
    """

    def __init__(self, flame, prediction: Prediction, landmarks: Tensor, settings: RefineSettings):
        self.flame, self.network, self.landmarks, self.settings = flame, prediction, landmarks, settings
        self.views = len(landmarks)
        scale = prediction.camera[0, :, :1]
        self.camera_unit = torch.cat([scale, torch.full_like(scale, 0.1).expand(-1, 2)], 1)  # [V, 3]
        parts = [prediction.shape[0], prediction.expression[0], prediction.jaw_pose[0]]
        parts += [prediction.global_pose[0].flatten(), (prediction.camera[0] / self.camera_unit).flatten()]
        parts += [torch.full_like(scale[:, 0], settings.inverse_distance)]
        self.sizes = [len(part) for part in parts]
        self.start = torch.cat(parts)
        self.start_sigma = self._per_unknown(
            settings.network, settings.pose, settings.camera, settings.inverse_distance
        )
        self.difference = self._per_unknown(0.02, 0.002, 0.002, 0.01)
        self.visible = decode(flame, self.parameters(self.start)).visible[0]

    def _per_unknown(self, code: float, rotation: float, camera: float, inverse_distance: float) -> Tensor:
        values = [code, code, rotation, rotation, camera, inverse_distance]
        parts = [torch.full((count,), value) for count, value in zip(self.sizes, values, strict=True)]
        return torch.cat(parts).to(self.start)

    def split(self, unknowns: Tensor) -> tuple[Tensor, ...]:
        """shape [K, ns], expression [K, ne], jaw [K, 3], pose and camera [K, V, 3], inverse distances [K, V] of
        unknowns [K, n]."""
        shape, expression, jaw, pose, camera, inverse_distance = unknowns.split(self.sizes, -1)
        camera = camera.unflatten(1, (-1, 3)) * self.camera_unit
        return shape, expression, jaw, pose.unflatten(1, (-1, 3)), camera, inverse_distance

    def prediction(self, unknowns: Tensor) -> Prediction:
        """As the network gives it, of unknowns [n]."""
        return Prediction(*self.split(unknowns[None])[:-1], self.network.albedo, self.network.light)

    def parameters(self, unknowns: Tensor) -> ViewParameters:
        """As the losses take them, of unknowns [n]."""
        return ViewParameters.of(self.prediction(unknowns), 1)

    def residuals(self, unknowns: Tensor, flow: Correspondences | None) -> Tensor:
        """All residuals [K, R] in standard deviations; Huber's square root for those that measure images."""
        settings = self.settings
        shape, expression, jaw, pose, camera, inverse_distance = self.split(unknowns)
        shared = [code.repeat_interleave(self.views, 0) for code in (shape, expression, jaw)]
        output = self.flame(*shared[:2], pose.flatten(0, 1), jaw_pose=shared[2])
        landmarks, vertices = (part.unflatten(0, (-1, self.views)) for part in (output.landmarks, output.vertices))
        centre = reference_depth(landmarks)  # [K, V]
        found = _project(landmarks, camera, inverse_distance, centre)
        error = (found - self.landmarks) * self.visible[..., None]  # [K, V, 68, 2]
        upper, lower = torch.tensor(EYE_PAIRS + LIP_PAIRS, device=error.device).T
        measured = [
            error[:, :, :N_CONTOUR].flatten(1) / settings.contour,
            error[:, :, N_CONTOUR:].flatten(1) / settings.landmark,
            (error[:, :, upper] - error[:, :, lower]).flatten(1) / settings.opening,
        ]
        if flow is not None:
            off_a, off_b = (
                _seen(vertices, flow, view, camera, inverse_distance, centre) - place
                for view, place in ((flow.view_a, flow.origin), (flow.view_b, flow.target))
            )
            apart = off_b - (flow.slide @ off_a[..., None])[..., 0]
            measured.append(apart.flatten(1) / settings.flow)
        measured = _huber_root(torch.cat(measured, 1), settings.robust)
        codes = torch.cat([shape, expression], 1) / settings.coefficient
        return torch.cat([measured, codes, (unknowns - self.start) / self.start_sigma], 1)

    def linearised(self, unknowns: Tensor, flow: Correspondences | None) -> tuple[Tensor, Tensor]:
        """Residuals [R] at unknowns [n], and their Jacobian [R, n]."""
        nearby = torch.cat([unknowns[None], unknowns + self.difference.diag()])
        values = torch.cat([self.residuals(part, flow) for part in nearby.split(CHUNK)])
        return values[0], ((values[1:] - values[0]) / self.difference[:, None]).T

    def vertex_sigma(self, unknowns: Tensor, information: Tensor) -> Tensor:
        """Standard deviation [N] of the unturned head's vertices: root mean square over x, y and z, metres."""
        codes = sum(self.sizes[:3])
        covariance = torch.linalg.inv(information.double())[:codes, :codes]
        root = torch.linalg.cholesky(covariance).to(unknowns)  # columns: independent one-sigma changes of the codes
        moved = unknowns[:codes] + torch.cat([torch.zeros_like(root[:, :1]), root], 1).T  # [1 + codes, codes]
        shape, expression, jaw = moved.split(self.sizes[:3], -1)
        vertices = self.flame(shape, expression, torch.zeros_like(jaw), jaw_pose=jaw).vertices
        return (vertices[1:] - vertices[0]).square().sum(0).mean(-1).sqrt()


CHUNK = 16
"""Vectors of unknowns evaluated at once: memory against speed."""


def _project(points: Tensor, camera: Tensor, inverse_distance: Tensor, centre: Tensor) -> Tensor:
    """Points [..., N, 3] -> ndc [..., N, 2] by cameras [..., 3] (s, tx, ty) that divisor what is behind `centre`.

    inverse_distance [...]: of the camera from `centre` [...], the depth at which s holds; 1/m, 0 is orthography.
    Portraits taken from an arm's length are wider at the nose than DECA's camera can say: without this the shape would.
    """
    divisor = perspective_divisor(points[..., 2], centre[..., None], inverse_distance[..., None])
    return project_orthographic(points, camera, divisor)[..., :2]


def _seen(
    vertices, flow: Correspondences, view: Tensor, camera: Tensor, inverse_distance: Tensor, centre: Tensor
) -> Tensor:
    """Where `view` [M] shows the estimate's points: ndc [K, M, 2]; vertices [K, V, N, 3], the cameras [K, V, .]."""
    points = (vertices[:, view[:, None], flow.corners] * flow.weights[..., None]).sum(2)  # [K, M, 3]
    return _project(points[:, :, None], *(value[:, view] for value in (camera, inverse_distance, centre)))[:, :, 0]


def _huber_root(residuals: Tensor, limit: float) -> Tensor:
    """r with rho(r) = its square: r itself up to `limit`, growing as a square root beyond, so that the cost is
    linear."""
    size = residuals.abs()
    beyond = (2 * limit * size - limit**2).clamp_min(limit**2).sqrt() * residuals.sign()
    return torch.where(size <= limit, residuals, beyond)


def _step(problem: _Problem, unknowns: Tensor, flow: Correspondences | None, damping: float) -> tuple[Tensor, float]:
    """One Levenberg-Marquardt step: the damping grows until the cost falls; where it never does, nothing moves."""
    residuals, jacobian = problem.linearised(unknowns, flow)
    information, gradient = jacobian.mT @ jacobian, jacobian.mT @ residuals
    for _ in range(6):
        damped = information + damping * information.diagonal().diag()
        moved = unknowns - torch.linalg.solve(damped, gradient)
        if problem.residuals(moved[None], flow).square().sum() < residuals.square().sum():
            return moved, damping / 4
        damping *= 10
    return unknowns, damping


def correspondences(
    problem: _Problem, unknowns: Tensor, images: Tensor, estimate: Estimate, spacing: int
) -> Correspondences:
    """Where flow says that surface points lie, for every pair of views that share the face (PAIRS)."""
    flame = problem.flame
    shape, expression, jaw, pose, camera, inverse_distance = problem.split(unknowns[None])
    shared = [code.expand(problem.views, -1) for code in (shape, expression, jaw)]
    output = flame(*shared[:2], pose[0], jaw_pose=shared[2])
    centre = reference_depth(output.landmarks)
    views = [
        _view(flame, output.vertices[v], camera[0, v], inverse_distance[0, v], centre[v]) for v in range(problem.views)
    ]
    parts = []
    for a, b in PAIRS[len(views)]:
        corners, weights, target = _pair(flame, views[a], views[b], images[a], images[b], estimate, spacing)
        in_a, in_b = (ndc(view.clip)[0, corners] for view in (views[a], views[b]))  # [M, 3, 2]
        slide = triangle_map(in_a, in_b)
        kept = torch.linalg.matrix_norm(slide) < STEEPEST
        numbers = (torch.full_like(corners[:, 0], view) for view in (a, b))
        points = (output.vertices[a, corners] * weights[..., None]).sum(1)
        origin = _project(points, camera[0, a], inverse_distance[0, a], centre[a])
        parts.append([part[kept] for part in (*numbers, corners, weights, origin, target, slide)])
    return Correspondences(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _view(flame, vertices: Tensor, camera: Tensor, inverse_distance: Tensor, centre: Tensor) -> ProjectedMesh:
    """One head [N, 3] as the camera of `_project` sees it: its scaled orthography, divided by the shrinkage."""
    divisor = perspective_divisor(vertices[:, 2], centre, inverse_distance)
    return orthographic_view(vertices[None], flame.faces, camera[None], divisor[None])


def _pair(
    flame,
    view_a: ProjectedMesh,
    view_b: ProjectedMesh,
    image_a: Tensor,
    image_b: Tensor,
    estimate: Estimate,
    spacing: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Corners [M, 3], barycentric weights [M, 3] and targets [M, 2] (ndc) of points drawn in view b."""
    height, width = image_b.shape[-2:]
    cross = render_cross_view(image_a[None], view_a, view_b, flame.faces, height, width)
    photo = image_b[None]
    flow = estimate(torch.where(cross.seen[:, None], cross.image, photo), photo)
    mask = covisible_by_geometry(cross, comparable_faces(flame.faces, flame.masks)) * trusted_flow(flow, MAX_FLOW)
    grid = torch.zeros_like(mask[0])
    grid[spacing // 2 :: spacing, spacing // 2 :: spacing] = 1
    row, column = (mask[0] * grid).nonzero().T
    corners = flame.faces[cross.raster.face_id[0, row, column].long() - 1]
    centres = pixels_to_ndc(torch.stack([column, row], -1) + 0.5, width, height)
    return corners, cross.raster.barycentrics[0, row, column], centres + flow_to_ndc(flow)[0, row, column]
