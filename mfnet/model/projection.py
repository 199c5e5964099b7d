"""Predicted heads as the losses see them: decoded and projected into every view."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mfnet.flame import Flame
from mfnet.geometry import axis_angle_to_matrix, perspective_divisor, project_orthographic, reference_depth, yaw
from mfnet.landmarks.ibug import N_CONTOUR
from mfnet.model.parameters import Prediction

CONTOUR_HIDDEN = 40.0
"""Beyond this yaw, degrees, the far jaw line is hidden (FLAME's dynamic contour ends there too)."""

FACING = 0.1
"""A static landmark is seen where its surface normal has at least this component towards the camera (84 degrees)."""


@dataclass(frozen=True)
class DecodedHeads:
    """FLAME heads posed and projected into their views; ndc is that of each view's crop."""

    vertices: Tensor
    """[B, V, N, 3] posed, metres."""
    cameras: Tensor
    """[B, V, 3] scaled orthography, as `View.camera`."""
    divisor: Tensor
    """[B, V, N] `perspective_divisor` of every vertex; 1: orthography."""
    projected: Tensor
    """[B, V, N, 3] ndc x, y and depth (larger is nearer)."""
    landmarks: Tensor
    """[B, V, 68, 2] ndc."""
    visible: Tensor
    """[B, V, 68] in {0, 1}, without gradient."""


def decode(flame: Flame, prediction: Prediction) -> DecodedHeads:
    """Eq. 1 and the projection into every view: `flame` is the head model, its neck and eyes at rest."""
    prediction = prediction.per_view()
    person, views = prediction.person, prediction.views
    items, count = views.camera.shape[:2]

    def flat(value: Tensor) -> Tensor:
        return value.reshape(items * count, *value.shape[2:])

    output = flame(flat(person.shape), flat(person.expression), flat(views.global_pose), jaw_pose=flat(person.jaw_pose))
    camera, inverse_distance = flat(views.camera), flat(views.inverse_distance)[:, None]
    centre = reference_depth(output.landmarks)[..., None]
    divisor = perspective_divisor(output.vertices[..., 2], centre, inverse_distance)
    projected = project_orthographic(output.vertices, camera, divisor)
    of_landmarks = perspective_divisor(output.landmarks[..., 2], centre, inverse_distance)
    landmarks = project_orthographic(output.landmarks, camera, of_landmarks)[..., :2]
    visible = landmark_visibility(flame, output.vertices.detach(), flat(views.global_pose.detach()))

    def grouped(value: Tensor) -> Tensor:
        return value.reshape(items, count, *value.shape[1:])

    return DecodedHeads(
        vertices=grouped(output.vertices),
        cameras=views.camera,
        divisor=grouped(divisor),
        projected=grouped(projected),
        landmarks=grouped(landmarks),
        visible=grouped(visible),
    )


def landmark_visibility(flame: Flame, vertices: Tensor, global_pose: Tensor) -> Tensor:
    """Which of the 68 landmarks the camera sees (the paper's i in MF_a): [B, 68] in {0, 1}.

    vertices [B, N, 3] posed; global_pose [B, 3]. A static landmark is seen where its triangle faces the camera; the jaw
    line moves with the outline, so its near half and the chin are always seen, its far half up to CONTOUR_HIDDEN.
    """
    corners = vertices[:, flame.fixed_corners[: 68 - N_CONTOUR]]  # [B, 51, 3, 3]
    a, b, c = corners.unbind(2)
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)
    static = normal[..., 2] > FACING
    degrees = torch.rad2deg(yaw(axis_angle_to_matrix(global_pose)))[:, None]
    chin = N_CONTOUR // 2
    subjects_side = torch.sign(chin - torch.arange(N_CONTOUR, device=vertices.device))  # +1 on the subject's right
    contour = subjects_side * degrees > -CONTOUR_HIDDEN  # yaw > 0 shows the subject's right cheek
    return torch.cat([contour, static], 1).to(vertices.dtype)
