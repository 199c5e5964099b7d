"""Eq. 6 on a batch: which views are paired, what is drawn for a pair, and where it counts (eq. 5)."""

import torch
from torch import Tensor

from mfnet.flame import Flame
from mfnet.geometry import triangle_map
from mfnet.losses.flow import CheckedFlow, Estimate, flow_loss_target, flow_loss_through
from mfnet.model.projection import DecodedHeads
from mfnet.params import LossParams
from mfnet.render import (
    CrossView,
    comparable_faces,
    covisible_by_geometry,
    covisible_by_landmarks,
    interpolate,
    orthographic_view,
    render_cross_view,
)

STEEPEST = 6.0
"""A piece of surface that is this much larger in view b than in view a is seen too flatly in a to say anything."""
PAIRS = {2: ((0, 1), (1, 0)), 3: ((0, 1), (1, 0), (0, 2), (2, 0))}
"""Pairs (a, b) by number of views: the frontal anchor with each side view, both ways. The side views share too
little."""


def cross_pairs(items: int, views: int, position: int) -> Tensor:
    """One pair (a, b) of views for each item of a batch: [items, 2].

    Item i of step t takes pair i + t of PAIRS, cyclically: every batch holds all pairs in equal shares, and no random
    state is needed to resume.
    """
    pairs = torch.tensor(PAIRS[views])
    return pairs[(torch.arange(items) + position) % len(pairs)]


class MultiviewFlow:
    """L_multiop (eq. 6) of one head model, by the gradient route and the mask that params name."""

    def __init__(self, flame: Flame, params: LossParams, estimate: Estimate) -> None:
        """estimate: F of eq. 6."""
        self.flame = flame
        self.params = params
        self.measure = CheckedFlow(estimate, params.flow_cap, params.flow_check)

    def __call__(self, heads: DecodedHeads, photos: Tensor, detected: Tensor, pairs: Tensor) -> Tensor:
        """Over one pair (a, b) of views per item, pairs [B, 2].

        photos [B, V, 3, H, W] in [0, 1]; detected landmarks [B, V, 68, 2] in ndc.
        """
        items = torch.arange(len(photos), device=photos.device)
        a, b = pairs.to(photos.device).T
        through = self.params.flow_gradient == "through"
        with torch.set_grad_enabled(through and torch.is_grad_enabled()):  # the target route needs none of the image
            cross = draw_pair(self.flame, heads, photos, items, a, b)
        visible_a, visible_b = heads.visible[items, a], heads.visible[items, b]
        mask = covisible_mask(self.flame, cross, detected[items, b], visible_a, visible_b, self.params.mask)
        photo = photos[items, b]
        if through:
            return flow_loss_through(self.measure, photo, cross.image, mask)
        drawn = torch.where(cross.seen[:, None], cross.image, photo)
        points, valid = sliding_points(self.flame, heads.projected[items, a], heads.projected[items, b], cross)
        return flow_loss_target(self.measure, photo, drawn, points, mask * valid)


def draw_pair(flame: Flame, heads: DecodedHeads, photos: Tensor, items: Tensor, a: Tensor, b: Tensor) -> CrossView:
    """I_{a->b} of each item at the photographs' size; a, b [B] are indices of views."""
    view_a, view_b = (
        orthographic_view(heads.vertices[items, v], flame.faces, heads.cameras[items, v], heads.divisor[items, v])
        for v in (a, b)
    )
    height, width = photos.shape[-2:]
    return render_cross_view(photos[items, a], view_a, view_b, flame.faces, height, width)


def covisible_mask(
    flame: Flame, cross: CrossView, landmarks: Tensor, visible_a: Tensor, visible_b: Tensor, kind: str
) -> Tensor:
    """MC_{a,b} in view b, [B, H, W] in {0, 1}: the paper's by landmark bounds (eq. 5), or ``geometric`` by z-test.

    landmarks [B, 68, 2]: detected in view b, ndc; visible_a, visible_b [B, 68].
    """
    comparable = comparable_faces(flame.faces, flame.masks)
    if kind == "geometric":
        return covisible_by_geometry(cross, comparable).to(cross.image.dtype)
    return covisible_by_landmarks(cross.raster, comparable, landmarks, visible_a, visible_b).to(cross.image.dtype)


def drawn_points(flame: Flame, projected: Tensor, cross: CrossView) -> Tensor:
    """Ndc [B, H, W, 2] of the surface point drawn at each pixel of view b, zero in the background.

    projected [B, N, 3]. The points are fixed on the surface: where they project to carries the gradient, which points
    they are does not (a pixel's own centre could not move).
    """
    fixed = cross.raster._replace(barycentrics=cross.raster.barycentrics.detach())
    return interpolate(projected[..., :2].contiguous(), fixed, flame.faces)


def sliding_points(flame: Flame, projected_a: Tensor, projected_b: Tensor, cross: CrossView) -> tuple[Tensor, Tensor]:
    """`drawn_points` of view b with a gradient to both views, and where they are valid: [B, H, W, 2], [B, H, W].

    The texture of view a shows where a piece of skin lies in b, not which point of the head it is. So an error in b
    counts only beyond what follows from the same point's error in a: p_b - q - S (p_a - x), where x and q are where a
    and b show the skin, p_a and p_b where the head's point projects to, and S maps the point's triangle from its
    picture in a to that in b. A point that slides along a surface that is right already costs nothing.

    The value is p_b, since p_a = x when the pair is drawn. Not valid are triangles that view a sees too flatly
    (STEEPEST). projected_a, projected_b [B, N, 3].
    """
    in_a, in_b = (drawn_points(flame, projected, cross) for projected in (projected_a, projected_b))
    corners_a, corners_b = (projected.detach()[:, flame.faces, :2] for projected in (projected_a, projected_b))
    maps = triangle_map(corners_a, corners_b).flatten(2)  # [B, F, 4]
    steep = ~(maps.norm(dim=-1) < STEEPEST)  # [B, F]; also what is not finite
    maps = maps.masked_fill(steep[..., None], 0.0)
    size = cross.raster.face_id.shape
    face = (cross.raster.face_id.long() - 1).clamp_min(0).flatten(1)
    slide = maps.gather(1, face[..., None].expand(-1, -1, 4)).view(*size, 2, 2)
    valid = ~steep.gather(1, face).view(size)
    off_a = in_a - in_a.detach()
    return in_b - (slide @ off_a[..., None])[..., 0], valid.to(in_b.dtype)
