"""Linear blend skinning: a plain form for every device, and compiled kernels for the CPU.

Vertices lie in blocks, coordinate by coordinate ([N, B, 3, BLOCK]: block, sample, axis, vertex), so that one block of
all its inputs stays in the nearest cache and the inner loops run over neighbouring numbers. The last block is padded
with vertices of weight zero.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mfnet.compute.compiled import empty, kernel, one_thread, over_batch, over_batch_in_torch

BLOCK = 160


def blend_shapes(template: Tensor, scales: Tensor, basis: Tensor) -> Tensor:
    """Rest positions [N, B, 3, BLOCK]: template [N, 1, 3 BLOCK] plus scales [B, K] times basis [N, K or more, 3 BLOCK].

    Differentiable in `scales`: once on the CPU, any number of times elsewhere.
    """
    if scales.device.type == "cpu":
        return _BlendShapes.apply(template, scales, basis).unflatten(2, (3, BLOCK))
    scales = scales.expand(len(basis), *scales.shape)
    return torch.baddbmm(template, scales, basis[:, : scales.shape[2]]).unflatten(2, (3, BLOCK))


class _BlendShapes(torch.autograd.Function):
    """The product of `blend_shapes`, its blocks spread over our threads."""

    @staticmethod
    def forward(ctx: Any, template: Tensor, scales: Tensor, basis: Tensor) -> Tensor:
        out = empty((len(basis), len(scales), basis.shape[2]), basis.dtype)
        over_batch_in_torch(_blend_blocks, len(basis), template, scales.detach(), basis, out)
        ctx.save_for_backward(basis)
        ctx.columns = scales.shape[1]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None]:
        (basis,) = ctx.saved_tensors
        by_block = empty((len(basis), grad.shape[1], ctx.columns), grad.dtype)
        over_batch_in_torch(_blend_blocks_backward, len(basis), grad, basis, by_block)
        with one_thread():
            return None, by_block.sum(0), None


def _blend_blocks(start: int, stop: int, template: Tensor, scales: Tensor, basis: Tensor, out: Tensor) -> None:
    columns = basis[start:stop, : scales.shape[1]]
    torch.baddbmm(template[start:stop], scales.expand(stop - start, *scales.shape), columns, out=out[start:stop])


def _blend_blocks_backward(start: int, stop: int, grad: Tensor, basis: Tensor, by_block: Tensor) -> None:
    columns = basis[start:stop, : by_block.shape[2]]
    torch.bmm(grad[start:stop], columns.mT, out=by_block[start:stop])


def skin(unposed: Tensor, transforms: Tensor, weights: Tensor, count: int) -> Tensor:
    """Pose `count` vertices by the weighted mean of their joints' transforms.

    unposed: [N, B, 3, BLOCK] rest positions; transforms: [B, 12, 5], each joint's 3 x 4 matrix row by row; weights:
    [N, 5, BLOCK]. Returns [B, count, 3]. Differentiable once in `unposed` and `transforms` on the CPU, any number of
    times elsewhere.
    """
    none = weights.new_zeros(len(transforms), 0, 3)
    return skin_with_points(unposed, transforms, weights, count, none.long(), none)[0]


def skin_with_points(
    unposed: Tensor, transforms: Tensor, weights: Tensor, count: int, corners: Tensor, shares: Tensor
) -> tuple[Tensor, Tensor]:
    """As `skin`, and points on the posed surface [B, L, 3]: vertices corners [B, L, 3] mixed by shares [B, L, 3]."""
    if unposed.device.type == "cpu":
        return _CompiledSkin.apply(unposed, transforms, weights, count, corners, shares)
    vertices = skin_reference(unposed, transforms, weights, count)
    return vertices, points_reference(vertices, corners, shares)


def skin_reference(unposed: Tensor, transforms: Tensor, weights: Tensor, count: int) -> Tensor:
    """`skin` in plain torch."""
    blended = torch.matmul(transforms, weights[:, None]).unflatten(2, (3, 4))  # [N, B, 3, 4, BLOCK]
    posed = (blended[:, :, :, :3] * unposed[:, :, None]).sum(3) + blended[:, :, :, 3]  # [N, B, 3, BLOCK]
    return posed.permute(1, 0, 3, 2).flatten(1, 2)[:, :count]


def points_reference(vertices: Tensor, corners: Tensor, shares: Tensor) -> Tensor:
    """The points of `skin_with_points` in plain torch, from vertices [B, V, 3]."""
    batch, count = vertices.shape[:2]
    offsets = torch.arange(batch, device=vertices.device)[:, None, None] * count
    found = vertices.flatten(0, 1).index_select(0, (corners + offsets).flatten()).view(batch, -1, 3, 3)
    return (found * shares[..., None]).sum(2)


class _CompiledSkin(torch.autograd.Function):
    """`skin_reference` without the blended matrix of each vertex in memory, and `points_reference`."""

    @staticmethod
    def forward(
        ctx: Any, unposed: Tensor, transforms: Tensor, weights: Tensor, count: int, corners: Tensor, shares: Tensor
    ) -> tuple[Tensor, Tensor]:
        unposed, transforms = unposed.detach().contiguous(), transforms.detach().contiguous()
        batch = len(transforms)
        vertices, points = empty((batch, count, 3), unposed.dtype), torch.empty_like(shares)
        inputs = (unposed, transforms, weights, corners.contiguous(), shares.contiguous())
        over_batch(_skin, batch, *(t.numpy() for t in (*inputs, vertices, points)))
        ctx.save_for_backward(*inputs)
        return vertices, points

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_vertices: Tensor, grad_points: Tensor) -> tuple[Tensor | None, ...]:
        unposed, transforms = ctx.saved_tensors[:2]
        grad_unposed, grad_transforms = empty(tuple(unposed.shape), unposed.dtype), torch.empty_like(transforms)
        grads = (grad_vertices.contiguous(), grad_points.contiguous(), grad_unposed, grad_transforms)
        over_batch(_skin_backward, len(transforms), *(t.numpy() for t in (*ctx.saved_tensors, *grads)))
        return grad_unposed, grad_transforms, None, None, None, None


@kernel(reassociate=True)
def _skin(
    start: int,
    stop: int,
    unposed: np.ndarray,
    transforms: np.ndarray,
    weights: np.ndarray,
    corners: np.ndarray,
    shares: np.ndarray,
    vertices: np.ndarray,
    points: np.ndarray,
) -> None:
    """vertices[b, v, c] = sum_k (sum_j transforms[b, 4 c + k, j] weights[j, v]) (unposed, 1)[b, k, v].

    points[b, l] = sum_i shares[b, l, i] vertices[b, corners[b, l, i]].
    """
    posed = np.empty((3, BLOCK), unposed.dtype)
    for b in range(start, stop):
        for n in range(unposed.shape[0]):
            x, y, z = unposed[n, b, 0], unposed[n, b, 1], unposed[n, b, 2]
            for c in range(3):
                _blend(transforms[b, 4 * c + 3], weights[n], posed[c])
                _add_blended(transforms[b, 4 * c], weights[n], x, posed[c])
                _add_blended(transforms[b, 4 * c + 1], weights[n], y, posed[c])
                _add_blended(transforms[b, 4 * c + 2], weights[n], z, posed[c])
            first = n * BLOCK
            for v in range(min(BLOCK, vertices.shape[1] - first)):
                for c in range(3):
                    vertices[b, first + v, c] = posed[c, v]
        for i in range(points.shape[1]):
            for c in range(3):
                points[b, i, c] = 0
                for k in range(3):
                    points[b, i, c] += shares[b, i, k] * vertices[b, corners[b, i, k], c]


@kernel(reassociate=True)
def _skin_backward(
    start: int,
    stop: int,
    unposed: np.ndarray,
    transforms: np.ndarray,
    weights: np.ndarray,
    corners: np.ndarray,
    shares: np.ndarray,
    grad_vertices: np.ndarray,
    grad_points: np.ndarray,
    grad_unposed: np.ndarray,
    grad_transforms: np.ndarray,
) -> None:
    """Gradients of `_skin`, block by block."""
    grad = np.empty(grad_vertices.shape[1:], unposed.dtype)
    g = np.zeros((3, BLOCK), unposed.dtype)
    one = np.ones(BLOCK, unposed.dtype)
    for b in range(start, stop):
        grad_transforms[b] = 0
        grad[:] = grad_vertices[b]
        for i in range(corners.shape[1]):
            for k in range(3):
                for c in range(3):
                    grad[corners[b, i, k], c] += shares[b, i, k] * grad_points[b, i, c]
        for n in range(unposed.shape[0]):
            first = n * BLOCK
            count = min(BLOCK, grad.shape[0] - first)  # pyright: ignore[reportGeneralTypeIssues]  # stubs: no axis left
            g[:, count:] = 0
            for v in range(count):
                for c in range(3):
                    g[c, v] = grad[first + v, c]
            for k in range(3):
                grad_unposed[n, b, k] = 0
                for c in range(3):
                    _add_blended(transforms[b, 4 * c + k], weights[n], g[c], grad_unposed[n, b, k])
            for c in range(3):
                for k in range(3):
                    _add_moments(g[c], unposed[n, b, k], weights[n], grad_transforms[b, 4 * c + k])
                _add_moments(g[c], one, weights[n], grad_transforms[b, 4 * c + 3])


@kernel(reassociate=True)
def _blend(row: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """out[v] = sum_j row[j] weights[j, v]."""
    t0, t1, t2, t3, t4 = row[0], row[1], row[2], row[3], row[4]
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    for v in range(BLOCK):
        out[v] = t0 * w0[v] + t1 * w1[v] + t2 * w2[v] + t3 * w3[v] + t4 * w4[v]


@kernel(reassociate=True)
def _add_blended(row: np.ndarray, weights: np.ndarray, factor: np.ndarray, out: np.ndarray) -> None:
    """out[v] += factor[v] sum_j row[j] weights[j, v]."""
    t0, t1, t2, t3, t4 = row[0], row[1], row[2], row[3], row[4]
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    for v in range(BLOCK):
        out[v] += factor[v] * (t0 * w0[v] + t1 * w1[v] + t2 * w2[v] + t3 * w3[v] + t4 * w4[v])


@kernel(reassociate=True)
def _add_moments(g: np.ndarray, factor: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """out[j] += sum_v g[v] factor[v] weights[j, v]."""
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    s0 = s1 = s2 = s3 = s4 = g.dtype.type(0)
    for v in range(BLOCK):
        product = g[v] * factor[v]
        s0 += product * w0[v]
        s1 += product * w1[v]
        s2 += product * w2[v]
        s3 += product * w3[v]
        s4 += product * w4[v]
    out[0] += s0
    out[1] += s1
    out[2] += s2
    out[3] += s3
    out[4] += s4
