"""Predicted heads as the losses see them: decoded and projected into every view."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from mfnet.geometry import axis_angle_to_matrix, perspective_divisor, project_orthographic, reference_depth, yaw
from mfnet.landmarks.ibug import N_CONTOUR

CONTOUR_HIDDEN = 40.0
"""Beyond this yaw, degrees, the far jaw line is hidden (FLAME's dynamic contour ends there too)."""

FACING = 0.1
"""A static landmark is seen where its surface normal has at least this component towards the camera (84 degrees)."""


@dataclass(frozen=True)
class ViewParameters:
    """What MFNet predicts, with one entry per view throughout: a code that views share is repeated.

    shape [B, V, ns], expression [B, V, ne] in sigma units; jaw_pose, global_pose [B, V, 3] axis-angle; camera [B, V, 3]
    (s, tx, ty) in ndc; albedo [B, V, na]; light [B, V, 9, 3].
    """

    shape: Tensor
    expression: Tensor
    jaw_pose: Tensor
    global_pose: Tensor
    camera: Tensor
    albedo: Tensor
    light: Tensor

    @classmethod
    def of(cls, prediction, items: int) -> "ViewParameters":
        """From a network's prediction over [N, V'] images, as entries of `items` people: [items, N V' / items, ...].

        A code without a view axis ([N, n]) is repeated over the V' views of its row.
        """
        views = prediction.camera.shape[1]

        def per_view(name: str) -> Tensor:
            value = getattr(prediction, name)
            if name in ("shape", "expression", "jaw_pose"):
                value = value[:, None].expand(-1, views, -1)
            return value.float().reshape(items, -1, *value.shape[2:])

        return cls(**{field.name: per_view(field.name) for field in fields(cls)})

    def tensors(self) -> list[Tensor]:
        """All codes, in the order of the fields."""
        return [getattr(self, field.name) for field in fields(self)]


@dataclass(frozen=True)
class Heads:
    """Heads in their views: vertices [B, V, N, 3] in metres, posed; cameras [B, V, 3]; divisor [B, V, N], what
    perspective divides by (1: orthography); projected [B, V, N, 3] = ndc x, y and depth (larger is nearer); landmarks
    [B, V, 68, 2] in ndc; visible [B, V, 68] in {0, 1}, without gradient."""

    vertices: Tensor
    cameras: Tensor
    divisor: Tensor
    projected: Tensor
    landmarks: Tensor
    visible: Tensor


def decode(flame, parameters: ViewParameters, inverse_distance: Tensor | float = 0.0) -> Heads:
    """Eq. 1 and the projection of every view: `flame` is the head model, its neck and eyes at rest.

    inverse_distance: 1 / distance (1/m) of every camera [B, V], or of all, from the landmarks' mean depth, where the
    cameras' scale holds; 0 is the paper's scaled orthography.
    """
    items, views = parameters.camera.shape[:2]

    def flat(value: Tensor) -> Tensor:
        return value.reshape(items * views, *value.shape[2:])

    output = flame(
        flat(parameters.shape),
        flat(parameters.expression),
        flat(parameters.global_pose),
        jaw_pose=flat(parameters.jaw_pose),
    )
    camera = flat(parameters.camera)
    centre = reference_depth(output.landmarks)[..., None]
    if isinstance(inverse_distance, Tensor):
        inverse_distance = flat(inverse_distance)[:, None]
    divisor = perspective_divisor(output.vertices[..., 2], centre, inverse_distance)
    projected = project_orthographic(output.vertices, camera, divisor)
    of_landmarks = perspective_divisor(output.landmarks[..., 2], centre, inverse_distance)
    landmarks = project_orthographic(output.landmarks, camera, of_landmarks)[..., :2]
    visible = landmark_visibility(flame, output.vertices.detach(), flat(parameters.global_pose.detach()))

    def per_view(value: Tensor) -> Tensor:
        return value.reshape(items, views, *value.shape[1:])

    flats = (divisor, projected, landmarks, visible)
    return Heads(per_view(output.vertices), parameters.camera, *map(per_view, flats))


def landmark_visibility(flame, vertices: Tensor, global_pose: Tensor) -> Tensor:
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
