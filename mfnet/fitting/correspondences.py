"""Where optical flow says that points of the head lie, between the first photograph and each other one."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mfnet.fitting.candidates import Candidates, project
from mfnet.flame import Flame
from mfnet.geometry import perspective_divisor, pixels_to_ndc, triangle_map
from mfnet.losses.flow import Estimate, flow_to_ndc, trusted_flow
from mfnet.losses.multiview import STEEPEST
from mfnet.model.parameters import Prediction, TensorRecord
from mfnet.render import (
    ProjectedMesh,
    comparable_faces,
    covisible_by_geometry,
    orthographic_view,
    render_cross_view,
)
from mfnet.render.view import ndc


@dataclass(frozen=True)
class Correspondences(TensorRecord):
    """Skin that two photographs show, M pieces in all: at `origin` in view a, at `target` in view b.

    Which point of the head it is, texture cannot say: only that one point of the surface lies at both places. A point
    that slides along the surface moves by `slide` times as much in view b as in view a.
    """

    view_a: Tensor
    """[M] index of the view."""
    view_b: Tensor
    """[M]"""
    corners: Tensor
    """[M, 3] vertices of the triangle that the head in question shows there."""
    weights: Tensor
    """[M, 3] barycentric."""
    origin: Tensor
    """[M, 2] ndc."""
    target: Tensor
    """[M, 2] ndc."""
    slide: Tensor
    """[M, 2, 2]"""

    def points(self, vertices: Tensor, view: Tensor) -> Tensor:
        """The surface points in the axes of `view` [M]: vertices [K, V, N, 3] -> [K, M, 3]."""
        return (vertices[:, view[:, None], self.corners] * self.weights[..., None]).sum(2)

    def errors(self, heads: Candidates) -> Tensor:
        """How far K heads' points are off in view b [K, M, 2], ndc, beyond what follows from their being off in a."""
        off_a = heads.project_in(self.view_a, self.points(heads.vertices, self.view_a)) - self.origin
        off_b = heads.project_in(self.view_b, self.points(heads.vertices, self.view_b)) - self.target
        return off_b - (self.slide @ off_a[..., None])[..., 0]


class _ShownHead(NamedTuple):
    """The head in one view, beside the photograph of that view."""

    view: int
    image: Tensor  # [3, H, W]
    mesh: ProjectedMesh  # of batch 1


@dataclass(frozen=True)
class FlowMatcher:
    """Finds `Correspondences` between the photographs of a person by the flow from drawn to photographed skin."""

    flame: Flame
    estimate: Estimate
    spacing: int
    """Every n-th pixel in both directions gives a correspondence."""
    cap: float
    """Longer flow, ndc, is a failure of the estimator."""

    def __call__(self, prediction: Prediction, images: Tensor) -> Correspondences:
        """Correspondences of the head of a prediction of batch 1; images [V, 3, H, W] in [0, 1], V > 1.

        Pairs are the first view with each other one, both ways: two side views share too little.
        """
        heads = Candidates.of(self.flame, prediction)
        shown = [_ShownHead(view, image, self._mesh(heads, view)) for view, image in enumerate(images)]
        anchor, *others = shown
        pairs = [pair for other in others for pair in ((anchor, other), (other, anchor))]
        return Correspondences.cat([self._between(heads, a, b) for a, b in pairs])

    def _mesh(self, heads: Candidates, view: int) -> ProjectedMesh:
        """The head as the camera of `project` sees it: its scaled orthography over the perspective divisor."""
        vertices = heads.vertices[0, view]
        divisor = perspective_divisor(vertices[:, 2], heads.centre[0, view], heads.views.inverse_distance[0, view])
        return orthographic_view(vertices[None], self.flame.faces, heads.views.camera[0, view][None], divisor[None])

    def _between(self, heads: Candidates, a: _ShownHead, b: _ShownHead) -> Correspondences:
        """Those of one pair of views, without triangles that view a sees too flatly."""
        corners, weights, target = self._targets(a, b)
        slide = triangle_map(*(ndc(shown.mesh.clip)[0, corners] for shown in (a, b)))
        view_a, view_b = (torch.full_like(corners[:, 0], shown.view) for shown in (a, b))
        points = (heads.vertices[0, a.view, corners] * weights[..., None]).sum(1)
        cameras = heads.views.camera[0, a.view], heads.views.inverse_distance[0, a.view], heads.centre[0, a.view]
        origin = project(points, *cameras)
        found = Correspondences(view_a, view_b, corners, weights, origin, target, slide)
        return found[torch.linalg.matrix_norm(slide) < STEEPEST]

    def _targets(self, a: _ShownHead, b: _ShownHead) -> tuple[Tensor, Tensor, Tensor]:
        """Corners [M, 3], barycentric weights [M, 3] and targets [M, 2] (ndc) of points drawn in view b."""
        faces, photo = self.flame.faces, b.image[None]
        height, width = photo.shape[-2:]
        cross = render_cross_view(a.image[None], a.mesh, b.mesh, faces, height, width)
        flow = self.estimate(torch.where(cross.seen[:, None], cross.image, photo), photo)
        covisible = covisible_by_geometry(cross, comparable_faces(faces, self.flame.masks))
        mask = covisible * trusted_flow(flow, self.cap)
        grid = torch.zeros_like(mask[0])
        grid[self.spacing // 2 :: self.spacing, self.spacing // 2 :: self.spacing] = 1
        row, column = (mask[0] * grid).nonzero().T
        corners = faces[cross.raster.face_id[0, row, column].long() - 1]
        centres = pixels_to_ndc(torch.stack([column, row], -1) + 0.5, width, height)
        return corners, cross.raster.barycentrics[0, row, column], centres + flow_to_ndc(flow)[0, row, column]
