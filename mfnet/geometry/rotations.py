"""Rotations in head space (right-handed, x to the subject's left, y up, z out of the face), column vectors: x' = R x.

Angles are radians. Euler angles are R = R_y(yaw) R_x(pitch) R_z(roll): yaw > 0 turns the nose towards the image's right
(the subject's right cheek is seen), pitch > 0 turns it down, roll > 0 turns the head anticlockwise in the image.
"""

import torch
from torch import Tensor


def axis_angle_to_matrix(rotation: Tensor) -> Tensor:
    """Rodrigues' formula: axis-angle [..., 3] -> rotation matrix [..., 3, 3]; value and gradient are exact at zero."""
    square = (rotation * rotation).sum(-1)[..., None, None]
    small = square < 1e-4  # below, the series is more exact than the quotients, in float64 too
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    sine = torch.where(small, 1 - square / 6 * (1 - square / 20 * (1 - square / 42)), angle.sin() / angle)
    half = (angle / 2).sin()
    cosine = torch.where(small, 0.5 - square / 24 * (1 - square / 30 * (1 - square / 56)), 2 * half * half / safe)
    x, y, z = rotation.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    return identity + sine * cross + cosine * (cross @ cross)


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """Rotation matrix [..., 3, 3] -> unit quaternion [..., 4] = (w, x, y, z) with w >= 0."""
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrix.flatten(-2).unbind(-1)
    # Each row is the quaternion times four times one of its own components: take the row with the largest.
    candidates = torch.stack(
        [
            torch.stack([1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01], -1),
            torch.stack([m21 - m12, 1 + m00 - m11 - m22, m01 + m10, m02 + m20], -1),
            torch.stack([m02 - m20, m01 + m10, 1 - m00 + m11 - m22, m12 + m21], -1),
            torch.stack([m10 - m01, m02 + m20, m12 + m21, 1 - m00 - m11 + m22], -1),
        ],
        -2,
    )
    best = candidates.diagonal(dim1=-2, dim2=-1).argmax(-1)
    chosen = candidates.gather(-2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)
    quaternion = torch.nn.functional.normalize(chosen, dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Rotation matrix [..., 3, 3] -> axis-angle [..., 3] of length in [0, pi]; gradient is finite at the identity."""
    w, vector = matrix_to_quaternion(matrix).split([1, 3], -1)
    square = (vector * vector).sum(-1, keepdim=True)
    small = square < 1e-8
    sine = torch.where(small, torch.ones_like(square), square).sqrt()
    factor = torch.where(small, 2 / w.clamp_min(0.5) * (1 - square / 3), 2 * torch.atan2(sine, w) / sine)
    return factor * vector


def euler_to_matrix(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Yaw, pitch, roll [...] in radians -> R_y(yaw) R_x(pitch) R_z(roll) [..., 3, 3]."""
    yaw, pitch, roll = torch.broadcast_tensors(yaw, pitch, roll)
    zero = torch.zeros_like(yaw)
    about_y = axis_angle_to_matrix(torch.stack([zero, yaw, zero], -1))
    about_x = axis_angle_to_matrix(torch.stack([pitch, zero, zero], -1))
    about_z = axis_angle_to_matrix(torch.stack([zero, zero, roll], -1))
    return about_y @ about_x @ about_z


def matrix_to_euler(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotation matrix [..., 3, 3] -> (yaw, pitch, roll), each [...], radians; pitch in [-pi/2, pi/2]."""
    pitch = torch.atan2(-matrix[..., 1, 2], torch.hypot(matrix[..., 0, 2], matrix[..., 2, 2]))
    return yaw(matrix), pitch, torch.atan2(matrix[..., 1, 0], matrix[..., 1, 1])


def yaw(matrix: Tensor) -> Tensor:
    """Yaw [...] in radians of a rotation matrix [..., 3, 3]: the heading of the nose, R e_z, about the vertical."""
    return torch.atan2(matrix[..., 0, 2], matrix[..., 2, 2])
