"""Gradients at silhouettes: an image's outlines are blended by how much of a pixel they cover.

After Laine et al. 2020, "Modular primitives for high-performance differentiable rendering", section 3: where two
neighbouring pixels show different faces and an outline of the nearer one passes between their centres, the pixel in
which it passes takes as much of its neighbour's colour as the outline leaves to it. The place of the outline, and so
the image, is then a smooth function of the vertices.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mfnet.compute.compiled import empty, kernel, over_batch
from mfnet.render.rasterizer import Raster, check_mesh


def antialias(image: Tensor, raster: Raster, clip: Tensor, faces: Tensor) -> Tensor:
    """Blend the outlines of image [B, H, W, C], drawn from raster of clip [B, V, 4] and faces [F, 3] -> [B, H, W, C].

    An outline is an edge of one face only, or of two that lie on the same side of it as seen by the camera. It
    is found from the face that a pixel shows: the outlines of faces thinner than a pixel are mostly missed.
    Differentiable to the image and to the x, y and w of the outlines' vertices.

    Raises ValueError for shapes, types or indices that do not fit.
    """
    check_mesh(clip, faces, 4)
    if image.shape[:3] != raster.face_id.shape or len(clip) != len(image):
        raise ValueError(f"image {list(image.shape)}, raster {list(raster.face_id.shape)}, clip {list(clip.shape)}")
    if clip.is_cuda:
        from mfnet.render import nvdiffrast_backend

        return nvdiffrast_backend.antialias(image, raster, clip, faces)
    return _Antialias.apply(image, clip, raster.face_id, raster.depth, faces, opposite_vertices(faces))


def opposite_vertices(faces: Tensor) -> Tensor:
    """For each edge of each face (edge i lies opposite to corner i) the far vertex of the face beyond it: [F, 3] int32.

    -1 where there is no face beyond, or more than one.
    """
    table = faces.numpy().astype(np.int64)
    ends = np.sort(np.stack([table[:, [1, 2]], table[:, [2, 0]], table[:, [0, 1]]], 1).reshape(-1, 2), 1)
    far = table.reshape(-1)
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    same = (ends[order[1:]] == ends[order[:-1]]).all(1)
    alone = np.zeros(len(order) + 1, bool)
    alone[1:-1] = same
    pair = same & ~alone[:-2] & ~alone[2:] if len(order) > 1 else same  # exactly two faces share the edge
    opposite = np.full(len(far), -1, np.int32)
    first, second = order[:-1][pair], order[1:][pair]
    opposite[first], opposite[second] = far[second], far[first]
    return torch.from_numpy(opposite.reshape(-1, 3))


@kernel
def on_screen(clip: np.ndarray, height: int, width: int, screen: np.ndarray) -> None:
    """Positions in pixels [V, 2]; NaN for a vertex that is not before the camera."""
    for v in range(clip.shape[0]):
        w = np.float64(clip[v, 3])
        if w > 0:
            screen[v, 0] = (clip[v, 0] / w + 1) * (0.5 * width)
            screen[v, 1] = (1 - clip[v, 1] / w) * (0.5 * height)
        else:
            screen[v] = np.nan


@kernel
def outline_between(
    screen: np.ndarray, faces: np.ndarray, opposite: np.ndarray, face: int, column: int, row: int, axis: int
) -> tuple[float, int, int, float, float]:
    """Where an outline of `face` passes between the pixel (column, row) and the next along `axis` (0: right, 1: down).

    Returns (t, a, b, s, slope): t in [0, 1] from centre to centre, or -1 where none does; a and b the edge's vertices,
    s the crossing's place between them, slope how far it moves along the axis per step across.
    """
    across = 1 - axis
    here = (column if axis == 0 else row) + 0.5
    level = (row if axis == 0 else column) + 0.5
    for i in range(3):
        a, b, c, d = faces[face, (i + 1) % 3], faces[face, (i + 2) % 3], faces[face, i], opposite[face, i]
        ex, ey = screen[b, 0] - screen[a, 0], screen[b, 1] - screen[a, 1]
        along, over = (ex, ey) if axis == 0 else (ey, ex)
        if not abs(over) >= abs(along) or over == 0:  # the other axis sees this edge more squarely; NaN too
            continue
        if d >= 0:
            own = ex * (screen[c, 1] - screen[a, 1]) - ey * (screen[c, 0] - screen[a, 0])
            other = ex * (screen[d, 1] - screen[a, 1]) - ey * (screen[d, 0] - screen[a, 0])
            if not own * other > 0:
                continue
        s = (level - screen[a, across]) / over
        if s < 0 or s >= 1:
            continue
        t = screen[a, axis] + s * along - here
        if t >= 0 and t <= 1:
            return t, a, b, s, along / over
    return -1.0, 0, 0, 0.0, 0.0


@kernel
def outline_after(
    screen: np.ndarray,
    faces: np.ndarray,
    opposite: np.ndarray,
    face_id: np.ndarray,
    depth: np.ndarray,
    row: int,
    column: int,
    axis: int,
) -> tuple[float, int, int, float, float]:
    """`outline_between` for the nearer of the faces that a pixel and the next along `axis` show; t is -1 without
    outline."""
    height, width = face_id.shape
    next_row, next_column = (row, column + 1) if axis == 0 else (row + 1, column)
    if next_row >= height or next_column >= width or face_id[row, column] == face_id[next_row, next_column]:
        return -1.0, 0, 0, 0.0, 0.0
    first, second = face_id[row, column], face_id[next_row, next_column]
    nearer = second == 0 or (first != 0 and depth[row, column] <= depth[next_row, next_column])
    return outline_between(screen, faces, opposite, (first if nearer else second) - 1, column, row, axis)


@kernel
def antialias_forward(
    start: int,
    stop: int,
    image: np.ndarray,
    clip: np.ndarray,
    face_id: np.ndarray,
    depth: np.ndarray,
    faces: np.ndarray,
    opposite: np.ndarray,
    out: np.ndarray,
) -> None:
    """Images start..stop: out [B, H, W, C] is image with its outlines blended.

    Up to the outline at t the colours are this pixel's, beyond it the next one's; the border between the pixels is at
    1/2.
    """
    screen = np.empty((clip.shape[1], 2))
    for i in range(start, stop):
        on_screen(clip[i], image.shape[1], image.shape[2], screen)
        out[i] = image[i]
        for row, column, axis in np.ndindex(image.shape[1], image.shape[2], 2):
            t, _, _, _, _ = outline_after(screen, faces, opposite, face_id[i], depth[i], row, column, axis)
            if t < 0:
                continue
            r, c = (row, column + 1) if axis == 0 else (row + 1, column)
            for k in range(image.shape[3]):
                step = image[i, r, c, k] - image[i, row, column, k]
                if t > 0.5:
                    out[i, r, c, k] -= (t - 0.5) * step
                else:
                    out[i, row, column, k] += (0.5 - t) * step


@kernel
def antialias_backward(
    start: int,
    stop: int,
    image: np.ndarray,
    clip: np.ndarray,
    face_id: np.ndarray,
    depth: np.ndarray,
    faces: np.ndarray,
    opposite: np.ndarray,
    grad: np.ndarray,
    grad_image: np.ndarray,
    grad_clip: np.ndarray,
) -> None:
    """Gradient [B, H, W, C] of the blended image -> of the image and of clip [B, V, 4], images start..stop."""
    height, width = image.shape[1:3]
    screen = np.empty((clip.shape[1], 2))
    for i in range(start, stop):
        on_screen(clip[i], height, width, screen)
        grad_image[i] = grad[i]
        grad_clip[i] = 0
        for row, column, axis in np.ndindex(height, width, 2):
            t, a, b, s, slope = outline_after(screen, faces, opposite, face_id[i], depth[i], row, column, axis)
            if t < 0:
                continue
            r, c = (row, column + 1) if axis == 0 else (row + 1, column)
            moved = 0.0  # how the loss grows with t
            for k in range(image.shape[3]):
                g = grad[i, r, c, k] if t > 0.5 else grad[i, row, column, k]
                moved -= g * (image[i, r, c, k] - image[i, row, column, k])
                grad_image[i, r, c, k] += (0.5 - t) * g
                grad_image[i, row, column, k] -= (0.5 - t) * g
            move_outline(clip[i], grad_clip[i], a, 1 - s, slope, moved, axis, height, width)
            move_outline(clip[i], grad_clip[i], b, s, slope, moved, axis, height, width)


@kernel
def move_outline(
    clip: np.ndarray,
    grad: np.ndarray,
    vertex: int,
    weight: float,
    slope: float,
    moved: float,
    axis: int,
    height: int,
    width: int,
) -> None:
    """Add to grad [V, 4] what an outline's crossing, `weight` of it this vertex's, passes on to the vertex."""
    along, over = weight * moved, -weight * slope * moved
    gx, gy = (along, over) if axis == 0 else (over, along)
    w = np.float64(clip[vertex, 3])
    gx, gy = gx * 0.5 * width / w, -gy * 0.5 * height / w
    grad[vertex, 0] += gx
    grad[vertex, 1] += gy
    grad[vertex, 3] -= (gx * clip[vertex, 0] + gy * clip[vertex, 1]) / w


class _Antialias(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, image: Tensor, clip: Tensor, face_id: Tensor, depth: Tensor, faces: Tensor, opposite: Tensor
    ) -> Tensor:
        image, clip, depth = (tensor.detach().contiguous() for tensor in (image, clip, depth))
        inputs = (image, clip, face_id.contiguous(), depth, faces.to(torch.int32).contiguous(), opposite)
        out = empty(image.shape, image.dtype)
        over_batch(antialias_forward, len(image), *(tensor.numpy() for tensor in (*inputs, out)))
        ctx.save_for_backward(*inputs)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        inputs = ctx.saved_tensors
        grad_image, grad_clip = empty(inputs[0].shape, grad.dtype), torch.empty_like(inputs[1])
        tensors = (*inputs, grad.contiguous(), grad_image, grad_clip)
        over_batch(antialias_backward, len(grad), *(tensor.numpy() for tensor in tensors))
        return grad_image, grad_clip, None, None, None, None
