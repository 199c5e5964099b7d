"""Linear blend skinning: a plain form for every device, and compiled kernels for the CPU.

Vertices lie in blocks, coordinate by coordinate ([N, B, 3, BLOCK]: block, sample, axis, vertex), so that one block of
all its inputs stays in the nearest cache and the inner loops run over neighbouring numbers. The last block is padded
with vertices of weight zero.
"""

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mfnet.parallel import empty, kernel, over_batch

BLOCK = 160


def skin(unposed: Tensor, transforms: Tensor, weights: Tensor, count: int) -> Tensor:
    """Pose `count` vertices by the weighted mean of their joints' transforms.

    unposed: [N, B, 3, BLOCK] rest positions; transforms: [B, 12, 5], each joint's 3 x 4 matrix row by row; weights:
    [N, 5, BLOCK]. Returns [B, count, 3]. Differentiable once in `unposed` and `transforms` on the CPU, any number of
    times elsewhere.
    """
    if unposed.device.type == "cpu":
        return _CompiledSkin.apply(unposed, transforms, weights, count)
    return skin_reference(unposed, transforms, weights, count)


def skin_reference(unposed: Tensor, transforms: Tensor, weights: Tensor, count: int) -> Tensor:
    """`skin` in plain torch."""
    blended = torch.matmul(transforms, weights[:, None]).unflatten(2, (3, 4))  # [N, B, 3, 4, BLOCK]
    posed = (blended[:, :, :, :3] * unposed[:, :, None]).sum(3) + blended[:, :, :, 3]  # [N, B, 3, BLOCK]
    return posed.permute(1, 0, 3, 2).flatten(1, 2)[:, :count]


class _CompiledSkin(torch.autograd.Function):
    """`skin_reference` without the blended matrix of each vertex in memory."""

    @staticmethod
    def forward(ctx, unposed, transforms, weights, count):
        batch = len(transforms)
        unposed, transforms = unposed.detach().contiguous(), transforms.detach().contiguous()
        vertices = empty((batch, count, 3), unposed.dtype)
        over_batch(_skin, batch, *(t.numpy() for t in (unposed, transforms, weights, vertices)))
        ctx.save_for_backward(unposed, transforms, weights)
        return vertices

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        unposed, transforms, weights = ctx.saved_tensors
        grad_unposed, grad_transforms = empty(tuple(unposed.shape), unposed.dtype), torch.empty_like(transforms)
        arrays = (unposed, transforms, weights, grad.contiguous(), grad_unposed, grad_transforms)
        over_batch(_skin_backward, len(transforms), *(t.numpy() for t in arrays))
        return grad_unposed, grad_transforms, None, None


@kernel(reassociate=True)
def _skin(start, stop, unposed, transforms, weights, vertices):
    """vertices[b, v, c] = sum_k (sum_j transforms[b, 4 c + k, j] weights[j, v]) (unposed, 1)[b, k, v]."""
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


@kernel(reassociate=True)
def _skin_backward(start, stop, unposed, transforms, weights, grad, grad_unposed, grad_transforms):
    """Gradients of `_skin`, block by block."""
    g = np.zeros((3, BLOCK), unposed.dtype)
    one = np.ones(BLOCK, unposed.dtype)
    for b in range(start, stop):
        grad_transforms[b] = 0
        for n in range(unposed.shape[0]):
            first = n * BLOCK
            count = min(BLOCK, grad.shape[1] - first)
            g[:, count:] = 0
            for v in range(count):
                for c in range(3):
                    g[c, v] = grad[b, first + v, c]
            for k in range(3):
                grad_unposed[n, b, k] = 0
                for c in range(3):
                    _add_blended(transforms[b, 4 * c + k], weights[n], g[c], grad_unposed[n, b, k])
            for c in range(3):
                for k in range(3):
                    _add_moments(g[c], unposed[n, b, k], weights[n], grad_transforms[b, 4 * c + k])
                _add_moments(g[c], one, weights[n], grad_transforms[b, 4 * c + 3])


@kernel(reassociate=True)
def _blend(row, weights, out):
    """out[v] = sum_j row[j] weights[j, v]."""
    t0, t1, t2, t3, t4 = row[0], row[1], row[2], row[3], row[4]
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    for v in range(BLOCK):
        out[v] = t0 * w0[v] + t1 * w1[v] + t2 * w2[v] + t3 * w3[v] + t4 * w4[v]


@kernel(reassociate=True)
def _add_blended(row, weights, factor, out):
    """out[v] += factor[v] sum_j row[j] weights[j, v]."""
    t0, t1, t2, t3, t4 = row[0], row[1], row[2], row[3], row[4]
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    for v in range(BLOCK):
        out[v] += factor[v] * (t0 * w0[v] + t1 * w1[v] + t2 * w2[v] + t3 * w3[v] + t4 * w4[v])


@kernel(reassociate=True)
def _add_moments(g, factor, weights, out):
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
