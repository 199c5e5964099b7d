"""One rasterizer with two backends: nvdiffrast on CUDA, compiled kernels on the CPU.

Conventions are nvdiffrast's as seen from outside: positions in OpenGL's clip space, face 0 is the background and the
faces count from 1, both sides of a face are drawn, vertices are snapped to 1/16 pixel to decide what a face covers.
Rows are in the project's order, row 0 at the top of the image (ndc y = +1). What lies outside -w <= z <= w is not
drawn; a triangle that crosses the near plane is cut there, so w <= 0 is never drawn. A triangle without area, or with a
position that is not finite, is dropped.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mfnet.compute.compiled import empty, over_batch
from mfnet.render import kernels


class Raster(NamedTuple):
    """What is seen at each pixel; see `rasterize`."""

    face_id: Tensor
    """[B, H, W] int32: 0 in the background, else 1 + the index of the face."""
    barycentrics: Tensor
    """[B, H, W, 3]: perspective-correct weights of the face's vertices at the pixel's centre; zero in the
    background."""
    depth: Tensor
    """[B, H, W]: z / w, smaller is nearer; zero in the background. Without gradient: interpolate z for one."""


def rasterize(clip: Tensor, faces: Tensor, height: int, width: int, backend: str = "auto") -> Raster:
    """Find the nearest face at each pixel's centre.

    clip: [B, V, 4] float32 or float64 (x, y, z, w); faces: [F, 3] integer indices of vertices; height, width: pixels.
    backend: ``auto`` (nvdiffrast for CUDA tensors, numba for CPU tensors), ``numba`` or ``nvdiffrast``.
    Barycentrics are differentiable to the x, y and w of the face's vertices (what is covered does not move: see
    `mfnet.render.antialias` for gradients at silhouettes).

    Raises ValueError for shapes, types or indices that do not fit, and a backend that does not suit the device.
    """
    check_mesh(clip, faces, 4)
    if height < 1 or width < 1:
        raise ValueError(f"an image of {width} x {height} pixels")
    if backend not in ("auto", "numba", "nvdiffrast"):
        raise ValueError(f"backend {backend!r}: expected 'auto', 'numba' or 'nvdiffrast'")
    if backend == "nvdiffrast" or (backend == "auto" and clip.is_cuda):
        from mfnet.render import nvdiffrast_backend  # late: optional, and CUDA only

        return Raster(*nvdiffrast_backend.rasterize(clip, faces, height, width))
    if clip.device.type != "cpu":
        raise ValueError(f"backend 'numba' takes CPU tensors, clip is on {clip.device}")
    return Raster(*_Rasterize.apply(clip, faces, height, width))


def interpolate(attributes: Tensor, raster: Raster, faces: Tensor) -> Tensor:
    """Interpolate vertex attributes at each pixel: [B, H, W, C], zero in the background.

    attributes: [B, V, C], or [V, C] shared by the batch. faces: [F, 3] indices into the attributes: the mesh's own
    faces, or another table with a row per face such as `flame.uv_faces`. Differentiable to the attributes and, through
    the barycentrics, to the positions.

    Raises ValueError for shapes, types or indices that do not fit.
    """
    shared = attributes.ndim == 2
    batched = attributes[None] if shared else attributes
    check_mesh(batched, faces, None)
    batch = raster.face_id.shape[0]
    if not shared and len(batched) != batch:
        raise ValueError(f"attributes have batch {len(batched)}, the raster has {batch}")
    if attributes.is_cuda:
        from mfnet.render import nvdiffrast_backend

        return nvdiffrast_backend.interpolate(batched, raster, faces)
    last = int(raster.face_id.numpy().max(initial=0))  # NumPy's: torch's would leave a thread spinning for milliseconds
    if last > len(faces):
        raise ValueError(f"faces: {len(faces)} rows, but the raster shows face {last - 1}")
    return _Interpolate.apply(batched, raster.barycentrics, raster.face_id, faces)


def check_mesh(values: Tensor, faces: Tensor, channels: int | None) -> None:
    """Refuse what would make a kernel read outside its arrays: values [B, V, channels], faces [F, 3] within V."""
    if values.ndim != 3 or (channels is not None and values.shape[2] != channels):
        raise ValueError(f"expected [B, V, {channels or 'C'}], got {list(values.shape)}")
    if values.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"expected float32 or float64, got {values.dtype}")
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.is_floating_point():
        raise ValueError(f"faces: expected [F, 3] of integers, got {list(faces.shape)} {faces.dtype}")
    if values.device != faces.device:
        raise ValueError(f"vertices are on {values.device}, faces on {faces.device}")
    if faces.numel() and not faces.is_cuda:  # on CUDA the check would wait for the device
        low, high = int(faces.numpy().min()), int(faces.numpy().max())
        if low < 0 or high >= values.shape[1]:
            raise ValueError(f"faces: indices {low}..{high} do not fit {values.shape[1]} vertices")


def _run(kernel: Callable[..., None], batch: int, *tensors: Tensor) -> None:
    over_batch(kernel, batch, *(tensor.numpy() for tensor in tensors))


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, clip: Tensor, faces: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        clip, faces = clip.detach().contiguous(), faces.to(torch.int32).contiguous()
        shape = (len(clip), height, width)
        face_id, depth = empty(shape, torch.int32), empty(shape, clip.dtype)
        barycentrics = empty((*shape, 3), clip.dtype)
        _run(kernels.rasterize, len(clip), clip, faces, face_id, barycentrics, depth)
        ctx.save_for_backward(clip, faces, face_id, barycentrics)
        ctx.mark_non_differentiable(face_id, depth)
        ctx.set_materialize_grads(False)
        return face_id, barycentrics, depth

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, _: Tensor | None, grad: Tensor | None, __: Tensor | None
    ) -> tuple[Tensor | None, None, None, None]:
        if grad is None:
            return None, None, None, None
        clip, grad_clip = ctx.saved_tensors[0], torch.empty_like(ctx.saved_tensors[0])
        _run(kernels.rasterize_backward, len(clip), *ctx.saved_tensors, grad.contiguous(), grad_clip)
        return grad_clip, None, None, None


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, attributes: Tensor, barycentrics: Tensor, face_id: Tensor, faces: Tensor) -> Tensor:
        batch, height, width = face_id.shape
        attributes, faces = attributes.detach().contiguous(), faces.to(torch.int32).contiguous()
        face_id, weights = face_id.flatten(1).contiguous(), barycentrics.detach().flatten(1, 2).contiguous()
        out = empty((batch, height, width, attributes.shape[2]), attributes.dtype)
        _run(kernels.interpolate, batch, attributes, faces, face_id, weights, out.flatten(1, 2))
        ctx.save_for_backward(attributes, weights, face_id, faces)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        attributes, weights, face_id, faces = ctx.saved_tensors
        batch, height, width = grad.shape[:3]
        grad = grad.flatten(1, 2).contiguous()
        to_attributes, to_weights = ctx.needs_input_grad[:2]
        grad_attributes = empty((batch, *attributes.shape[1:]), grad.dtype) if to_attributes else None
        grad_weights = empty((batch, height * width, 3), weights.dtype) if to_weights else None
        if grad_attributes is not None and grad_weights is not None:
            inputs = (attributes, faces, face_id, weights, grad)
            _run(kernels.interpolate_backward, batch, *inputs, grad_attributes, grad_weights)
        elif grad_attributes is not None:
            _run(kernels.interpolate_backward_attributes, batch, faces, face_id, weights, grad, grad_attributes)
        elif grad_weights is not None:
            _run(kernels.interpolate_backward_barycentrics, batch, attributes, faces, face_id, grad, grad_weights)
        if grad_attributes is not None and len(attributes) != batch:
            grad_attributes = _sum_in_order(grad_attributes)
        if grad_weights is not None:
            grad_weights = grad_weights.view(batch, height, width, 3)
        return grad_attributes, grad_weights, None, None


def _sum_in_order(values: Tensor) -> Tensor:
    """Sum [B, ...] -> [1, ...], one image after the other: the same bits for any number of threads."""
    total = torch.zeros_like(values[:1])
    for image in values:
        total += image
    return total
