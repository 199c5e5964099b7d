"""Eq. 6 on a batch: which views are paired, what is drawn for a pair, and where it counts (eq. 5)."""

import torch
from torch import Tensor

from mfnet.geometry import triangle_map
from mfnet.losses.flow import Estimate, flow_loss_target, flow_loss_through
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


def multiview_flow_loss(
    flame, heads: DecodedHeads, photos: Tensor, detected: Tensor, pairs: Tensor, params: LossParams, estimate: Estimate
) -> Tensor:
    """L_multiop (eq. 6) over one pair (a, b) of views per item, by the gradient route and the mask that params name.

    photos [B, V, 3, H, W] in [0, 1]; detected landmarks [B, V, 68, 2] in ndc; pairs [B, 2].
    """
    items = torch.arange(len(photos), device=photos.device)
    a, b = pairs.to(photos.device).T
    through = params.flow_gradient == "through"
    with torch.set_grad_enabled(through and torch.is_grad_enabled()):  # the target route needs no gradient of the image
        cross = draw_pair(flame, heads, photos, items, a, b)
    mask = covisible_mask(
        flame, cross, detected[items, b], heads.visible[items, a], heads.visible[items, b], params.mask
    )
    photo, checks = photos[items, b], {"cap": params.flow_cap, "check": params.flow_check}
    if through:
        return flow_loss_through(estimate, photo, cross.image, mask, **checks)
    drawn = torch.where(cross.seen[:, None], cross.image, photo)
    points, certain = sliding_points(flame, heads.projected[items, a], heads.projected[items, b], cross)
    return flow_loss_target(estimate, photo, drawn, points, mask * certain, **checks)


def draw_pair(flame, heads: DecodedHeads, photos: Tensor, items: Tensor, a: Tensor, b: Tensor) -> CrossView:
    """I_{a->b} of each item at the photographs' size; a, b [B] are indices of views."""
    views = [
        orthographic_view(heads.vertices[items, v], flame.faces, heads.cameras[items, v], heads.divisor[items, v])
        for v in (a, b)
    ]
    return render_cross_view(photos[items, a], *views, flame.faces, *photos.shape[-2:])


def covisible_mask(
    flame, cross: CrossView, landmarks: Tensor, visible_a: Tensor, visible_b: Tensor, kind: str
) -> Tensor:
    """MC_{a,b} in view b, [B, H, W] in {0, 1}: the paper's by landmark bounds (eq. 5), or ``geometric`` by z-test.

    landmarks [B, 68, 2]: detected in view b, ndc; visible_a, visible_b [B, 68].
    """
    comparable = comparable_faces(flame.faces, flame.masks)
    if kind == "geometric":
        return covisible_by_geometry(cross, comparable).to(cross.image.dtype)
    return covisible_by_landmarks(cross.raster, comparable, landmarks, visible_a, visible_b).to(cross.image.dtype)


def drawn_points(flame, projected: Tensor, cross: CrossView) -> Tensor:
    """Ndc [B, H, W, 2] of the surface point drawn at each pixel of view b, zero in the background.

    projected [B, N, 3]. The points are fixed on the surface: where they project to carries the gradient, which points
    they are does not (a pixel's own centre could not move).
    """
    fixed = cross.raster._replace(barycentrics=cross.raster.barycentrics.detach())
    return interpolate(projected[..., :2].contiguous(), fixed, flame.faces)


def sliding_points(flame, projected_a: Tensor, projected_b: Tensor, cross: CrossView) -> tuple[Tensor, Tensor]:
    """`drawn_points` of view b that carry both views' gradients, and where they are certain: [B, H, W, 2], [B, H, W].

    Texture says that one piece of skin lies at x in view a and at q in view b; it does not say which point of the head
    that is. So what counts is how far the point is off in b beyond what follows from its being off in a: p_b - q - S
    (p_a - x), S the map between the two pictures of the triangle it lies on. A point that slides along a surface that
    is right already costs nothing. The value is p_b, since p_a = x when the pair is drawn; `certain` leaves out
    triangles that view a sees too flatly. projected_a, projected_b [B, N, 3].
    """
    in_a, in_b = (drawn_points(flame, projected, cross) for projected in (projected_a, projected_b))
    corners_a, corners_b = (projected.detach()[:, flame.faces, :2] for projected in (projected_a, projected_b))
    maps = triangle_map(corners_a, corners_b).flatten(2)  # [B, F, 4]
    maps = torch.where((maps.norm(dim=-1) < STEEPEST)[..., None], maps, torch.nan)  # also what is not finite
    face = (cross.raster.face_id.long() - 1).clamp_min(0).flatten(1)
    maps = maps.gather(1, face[..., None].expand(-1, -1, 4)).view(*cross.raster.face_id.shape, 2, 2)
    certain = maps.isfinite().all(-1).all(-1)
    off_a = in_a - in_a.detach()
    return in_b - (maps.nan_to_num() @ off_a[..., None])[..., 0], certain.to(in_b.dtype)
