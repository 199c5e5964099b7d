"""From coefficients and pose to everything that skinning needs: a plain form, and one compiled kernel for the CPU.

The numbers are few (five joints a head), but in plain torch they take some sixty operations forth and back, which cost
as much as a third of the vertices and wake torch's threads.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mfnet.compute.compiled import kernel, over_batch
from mfnet.flame.head import N_JOINTS
from mfnet.geometry.rotations import axis_angle_to_matrix


def pose_chain(
    coefficients: Tensor, pose: Tensor, template: Tensor, blend: Tensor, columns: Tensor, parents: list[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Turn coefficients [B, C] and pose [B, 5, 3] (axis-angle, each relative to its parent) into

    - the scales [B, K] of the directions in use, columns [K] of (coefficients, rotations of joints 1..4 minus one),
    - transforms [B, 12, 5] from rest to posed space, each joint's 3 x 4 matrix row by row,
    - the posed joints [B, 5, 3],
    - the rotations [B, 5, 3, 3], without gradient.

    template: [15] and blend: [C, 15] give the rest joints; parents: [5], each before its children, the first -1.
    Differentiable in coefficients and pose: once on the CPU, any number of times elsewhere.
    """
    arguments = (coefficients, pose, template, blend, columns, parents)
    return _CompiledChain.apply(*arguments) if pose.device.type == "cpu" else pose_chain_reference(*arguments)


def pose_chain_reference(
    coefficients: Tensor, pose: Tensor, template: Tensor, blend: Tensor, columns: Tensor, parents: list[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`pose_chain` in plain torch."""
    rotations = axis_angle_to_matrix(pose)
    identity = torch.eye(3, dtype=pose.dtype, device=pose.device)
    scales = torch.cat([coefficients, (rotations[:, 1:] - identity).flatten(1)], 1)[:, columns]
    rest = torch.addmm(template, coefficients, blend).unflatten(1, (N_JOINTS, 3))
    turns, places = [rotations[:, 0]], [rest[:, 0]]
    for joint, parent in enumerate(parents[1:], 1):
        bone = (rest[:, joint] - rest[:, parent])[..., None]
        places.append(places[parent] + (turns[parent] @ bone).squeeze(-1))
        turns.append(turns[parent] @ rotations[:, joint])
    turn, place = torch.stack(turns, 1), torch.stack(places, 1)
    shift = place[..., None] - turn @ rest[..., None]
    return scales, torch.cat([turn, shift], -1).flatten(2).transpose(1, 2), place, rotations.detach()


class _CompiledChain(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        coefficients: Tensor,
        pose: Tensor,
        template: Tensor,
        blend: Tensor,
        columns: Tensor,
        parents: list[int],
    ) -> tuple[Tensor, ...]:
        batch = len(pose)
        inputs = (coefficients.detach().contiguous(), pose.detach().contiguous(), template, blend, columns)
        shapes = ((len(columns),), (12, N_JOINTS), (N_JOINTS, 3), (N_JOINTS, 3, 3))
        outputs = tuple(pose.new_empty(batch, *shape) for shape in shapes)
        over_batch(_forward, batch, *(t.numpy() for t in (*inputs, torch.tensor(parents), *outputs)))
        ctx.save_for_backward(*inputs, torch.tensor(parents))
        ctx.mark_non_differentiable(outputs[3])
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        outputs = torch.empty_like(inputs[0]), torch.empty_like(inputs[1])
        given = (grad.contiguous() for grad in grads[:3])
        over_batch(_backward, len(inputs[1]), *(t.numpy() for t in (*inputs, *given, *outputs)))
        return *outputs, None, None, None, None


@kernel
def _forward(
    start: int,
    stop: int,
    coefficients: np.ndarray,
    pose: np.ndarray,
    template: np.ndarray,
    blend: np.ndarray,
    columns: np.ndarray,
    parents: np.ndarray,
    scales: np.ndarray,
    transforms: np.ndarray,
    joints: np.ndarray,
    rotations: np.ndarray,
) -> None:
    count = coefficients.shape[1]
    turned, turn = np.empty((N_JOINTS, 3, 3)), np.empty((N_JOINTS, 3, 3))
    rest, place = np.empty((N_JOINTS, 3)), np.empty((N_JOINTS, 3))
    for b in range(start, stop):
        _chain(coefficients[b], pose[b], template, blend, parents, turned, turn, rest, place)
        rotations[b], joints[b] = turned, place
        for i in range(columns.shape[0]):
            column = columns[i]
            if column < count:
                scales[b, i] = coefficients[b, column]
            else:
                joint, row, entry = _correction(column - count)
                scales[b, i] = turned[joint, row, entry] - (row == entry)
        for j in range(N_JOINTS):
            for c in range(3):
                shift = place[j, c]
                for k in range(3):
                    transforms[b, 4 * c + k, j] = turn[j, c, k]
                    shift -= turn[j, c, k] * rest[j, k]
                transforms[b, 4 * c + 3, j] = shift


@kernel
def _backward(
    start: int,
    stop: int,
    coefficients: np.ndarray,
    pose: np.ndarray,
    template: np.ndarray,
    blend: np.ndarray,
    columns: np.ndarray,
    parents: np.ndarray,
    grad_scales: np.ndarray,
    grad_transforms: np.ndarray,
    grad_joints: np.ndarray,
    grad_coefficients: np.ndarray,
    grad_pose: np.ndarray,
) -> None:
    count = coefficients.shape[1]
    turned, turn = np.empty((N_JOINTS, 3, 3)), np.empty((N_JOINTS, 3, 3))
    rest, place = np.empty((N_JOINTS, 3)), np.empty((N_JOINTS, 3))
    g_turned, g_turn = np.empty((N_JOINTS, 3, 3)), np.empty((N_JOINTS, 3, 3))
    g_rest, g_place = np.empty((N_JOINTS, 3)), np.empty((N_JOINTS, 3))
    for b in range(start, stop):
        _chain(coefficients[b], pose[b], template, blend, parents, turned, turn, rest, place)
        g_turned[:], g_rest[:], g_place[:] = 0, 0, grad_joints[b]
        for j in range(N_JOINTS):
            for c in range(3):
                shift = np.float64(grad_transforms[b, 4 * c + 3, j])
                g_place[j, c] += shift
                for k in range(3):
                    g_turn[j, c, k] = grad_transforms[b, 4 * c + k, j] - shift * rest[j, k]
                    g_rest[j, k] -= shift * turn[j, c, k]
        for j in range(N_JOINTS - 1, 0, -1):
            _chain_backward(j, parents[j], turned, turn, rest, g_turned, g_turn, g_rest, g_place)
        g_turned[0] += g_turn[0]
        g_rest[0] += g_place[0]
        for k in range(count):
            total = 0.0
            for i in range(3 * N_JOINTS):
                total += blend[k, i] * g_rest[i // 3, i % 3]
            grad_coefficients[b, k] = total
        for i in range(columns.shape[0]):
            column = columns[i]
            if column < count:
                grad_coefficients[b, column] += grad_scales[b, i]
            else:
                joint, row, entry = _correction(column - count)
                g_turned[joint, row, entry] += grad_scales[b, i]
        for j in range(N_JOINTS):
            _rotation_backward(pose[b, j], g_turned[j], grad_pose[b, j])


@kernel
def _correction(column: int) -> tuple[int, int, int]:
    """Joint, row and column of the rotation's entry that scales a pose corrective."""
    return 1 + column // 9, column % 9 // 3, column % 3


@kernel
def _chain(
    coefficients: np.ndarray,
    pose: np.ndarray,
    template: np.ndarray,
    blend: np.ndarray,
    parents: np.ndarray,
    turned: np.ndarray,
    turn: np.ndarray,
    rest: np.ndarray,
    place: np.ndarray,
) -> None:
    """One head: rotations `turned` [5, 3, 3] and joints `rest` [5, 3] alone, `turn` and `place` in the chain."""
    for i in range(3 * N_JOINTS):
        rest[i // 3, i % 3] = template[i]
    for k in range(coefficients.shape[0]):
        for i in range(3 * N_JOINTS):
            rest[i // 3, i % 3] += coefficients[k] * blend[k, i]
    for j in range(N_JOINTS):
        _rotation(pose[j], turned[j])
    turn[0], place[0] = turned[0], rest[0]
    for j in range(1, N_JOINTS):
        p = parents[j]
        for c in range(3):
            place[j, c] = place[p, c]
            for k in range(3):
                place[j, c] += turn[p, c, k] * (rest[j, k] - rest[p, k])
                turn[j, c, k] = 0
                for m in range(3):
                    turn[j, c, k] += turn[p, c, m] * turned[j, m, k]


@kernel
def _chain_backward(
    j: int,
    p: int,
    turned: np.ndarray,
    turn: np.ndarray,
    rest: np.ndarray,
    g_turned: np.ndarray,
    g_turn: np.ndarray,
    g_rest: np.ndarray,
    g_place: np.ndarray,
) -> None:
    """Pass the gradients of joint j's `turn` and `place` on to its parent p's, its own rotation and the rest joints."""
    for c in range(3):
        g_place[p, c] += g_place[j, c]
        for k in range(3):
            g_turn[p, c, k] += g_place[j, c] * (rest[j, k] - rest[p, k])
            along = turn[p, c, k] * g_place[j, c]
            g_rest[j, k] += along
            g_rest[p, k] -= along
            for m in range(3):
                g_turn[p, c, m] += g_turn[j, c, k] * turned[j, m, k]
                g_turned[j, m, k] += turn[p, c, m] * g_turn[j, c, k]


@kernel
def _factors(square: float) -> tuple[float, float, float, float]:
    """sin(a) / a, (1 - cos(a)) / a^2 and their derivatives to the square of the angle a."""
    if square < 1e-4:
        sine = 1 - square / 6 * (1 - square / 20 * (1 - square / 42))
        cosine = 0.5 - square / 24 * (1 - square / 30 * (1 - square / 56))
        return sine, cosine, -1 / 6 + square / 60 - square**2 / 1680, -1 / 24 + square / 360 - square**2 / 13440
    angle = np.sqrt(square)
    half = np.sin(angle / 2)
    sine, cosine = np.sin(angle) / angle, 2 * half * half / square
    return sine, cosine, (np.cos(angle) - sine) / (2 * square), (sine / 2 - cosine) / square


@kernel
def _rotation(vector: np.ndarray, out: np.ndarray) -> None:
    """Rodrigues' formula, R = (1 - c a^2) I + s [v]x + c v v^T, into out [3, 3]."""
    x, y, z = np.float64(vector[0]), np.float64(vector[1]), np.float64(vector[2])
    square = x * x + y * y + z * z
    s, c, _, _ = _factors(square)
    one = 1 - c * square
    out[0, 0], out[0, 1], out[0, 2] = one + c * x * x, c * x * y - s * z, c * x * z + s * y
    out[1, 0], out[1, 1], out[1, 2] = c * x * y + s * z, one + c * y * y, c * y * z - s * x
    out[2, 0], out[2, 1], out[2, 2] = c * x * z - s * y, c * y * z + s * x, one + c * z * z


@kernel
def _rotation_backward(vector: np.ndarray, g: np.ndarray, out: np.ndarray) -> None:
    """Gradient g [3, 3] of `_rotation` -> of the vector, out [3]."""
    x, y, z = np.float64(vector[0]), np.float64(vector[1]), np.float64(vector[2])
    square = x * x + y * y + z * z
    s, c, slope_s, slope_c = _factors(square)
    trace = g[0, 0] + g[1, 1] + g[2, 2]
    skew_x, skew_y, skew_z = g[2, 1] - g[1, 2], g[0, 2] - g[2, 0], g[1, 0] - g[0, 1]
    both_x = 2 * g[0, 0] * x + (g[0, 1] + g[1, 0]) * y + (g[0, 2] + g[2, 0]) * z  # (g + g^T) v
    both_y = (g[1, 0] + g[0, 1]) * x + 2 * g[1, 1] * y + (g[1, 2] + g[2, 1]) * z
    both_z = (g[2, 0] + g[0, 2]) * x + (g[2, 1] + g[1, 2]) * y + 2 * g[2, 2] * z
    of_s = skew_x * x + skew_y * y + skew_z * z
    of_c = (both_x * x + both_y * y + both_z * z) / 2 - square * trace
    radial = 2 * (of_s * slope_s + of_c * slope_c - c * trace)
    out[0] = s * skew_x + c * both_x + radial * x
    out[1] = s * skew_y + c * both_y + radial * y
    out[2] = s * skew_z + c * both_z + radial * z
