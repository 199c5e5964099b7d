"""Depth maps of the benchmark's 256 x 256 image, and the alignment of a prediction's depth to the ground truth's.

One ray through every pixel's centre; only faces that turn towards the camera are hit (the official renderer culls the
others); row 0 is the top of the image; 0 means nothing was hit.
"""

import numpy as np

from mfnet.compute.compiled import kernel
from mfnet.datasets.facescape import IMAGE_SIZE

ORTHOGRAPHIC_RANGE = (0.05, 10_000.0)
PERSPECTIVE_RANGE = (0.1, 100_000.0)
"""Nearest and farthest depth that the official renderer draws, mm."""


def orthographic_depth(vertices: np.ndarray, faces: np.ndarray, half_width: float) -> np.ndarray:
    """Depth [256, 256] seen by a camera at the origin that looks along -z (x right, y up).

    The image spans [-half_width, half_width] of x and y; depth is -z, in the unit of `vertices`.
    """
    half = IMAGE_SIZE / 2
    across = (vertices[:, 0] / half_width + 1) * half
    down = (1 - vertices[:, 1] / half_width) * half
    return _parallel_rays(np.column_stack([across, down, -vertices[:, 2]]), faces, IMAGE_SIZE, *ORTHOGRAPHIC_RANGE)


def perspective_depth(vertices: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Depth [256, 256] along the optical axis; `vertices` [V, 3] in OpenCV axes, `intrinsics` K [3, 3] in pixels."""
    focal, centre = np.diag(intrinsics)[:2].copy(), intrinsics[:2, 2].copy()
    return _central_rays(np.ascontiguousarray(vertices), faces, focal, centre, IMAGE_SIZE, *PERSPECTIVE_RANGE)


def depth_offset(truth: np.ndarray, prediction: np.ndarray) -> tuple[float, np.ndarray]:
    """The shift z that minimises sum |truth - prediction - z| where both maps are non-zero, and that mask [256, 256].

    The minimum is the median, where the official optimiser (SLSQP) stops too; NaN without overlap.
    """
    overlap = (truth != 0) & (prediction != 0)
    if not overlap.any():
        return float("nan"), overlap
    return float(np.median(truth[overlap] - prediction[overlap])), overlap


@kernel
def _parallel_rays(points: np.ndarray, faces: np.ndarray, size: int, near: float, far: float) -> np.ndarray:
    """points [V, 3]: pixel x (right), pixel y (down), depth."""
    nearest = np.full((size, size), np.inf)
    for face in range(faces.shape[0]):
        a, b, c = faces[face]
        xa, ya, xb, yb, xc, yc = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if area >= 0:  # y points down here: a face that turns towards the camera runs clockwise in these numbers
            continue
        left, right = max(np.ceil(min(xa, xb, xc) - 0.5), 0.0), min(np.floor(max(xa, xb, xc) - 0.5), size - 1.0)
        top, bottom = max(np.ceil(min(ya, yb, yc) - 0.5), 0.0), min(np.floor(max(ya, yb, yc) - 0.5), size - 1.0)
        for row in range(int(top), int(bottom) + 1):
            for column in range(int(left), int(right) + 1):
                x, y = column + 0.5, row + 0.5
                at_a = (xb - x) * (yc - y) - (xc - x) * (yb - y)
                at_b = (xc - x) * (ya - y) - (xa - x) * (yc - y)
                at_c = (xa - x) * (yb - y) - (xb - x) * (ya - y)
                if at_a > 0 or at_b > 0 or at_c > 0:
                    continue
                depth = (at_a * points[a, 2] + at_b * points[b, 2] + at_c * points[c, 2]) / area
                if near <= depth <= far and depth < nearest[row, column]:
                    nearest[row, column] = depth
    return np.where(np.isinf(nearest), 0.0, nearest)


@kernel
def _cross(p: np.ndarray, q: np.ndarray) -> tuple[float, float, float]:
    return p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]


@kernel
def _window(
    corners: np.ndarray, focal: np.ndarray, centre: np.ndarray, size: int, near: float
) -> tuple[int, int, int, int]:
    """First and last column and row that a triangle can cover; the whole image where it reaches behind the camera."""
    if min(corners[0, 2], corners[1, 2], corners[2, 2]) < near:
        return 0, size - 1, 0, size - 1
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for corner in range(3):
        for axis in range(2):
            pixel = corners[corner, axis] / corners[corner, 2] * focal[axis] + centre[axis]
            low[axis], high[axis] = min(low[axis], pixel), max(high[axis], pixel)
    left, right = max(np.ceil(low[0] - 0.5), 0.0), min(np.floor(high[0] - 0.5), size - 1.0)
    top, bottom = max(np.ceil(low[1] - 0.5), 0.0), min(np.floor(high[1] - 0.5), size - 1.0)
    return int(left), int(right), int(top), int(bottom)


@kernel
def _central_rays(
    points: np.ndarray, faces: np.ndarray, focal: np.ndarray, centre: np.ndarray, size: int, near: float, far: float
) -> np.ndarray:
    """points [V, 3] in OpenCV axes. A ray d is inside a face where d . (p x q) has one sign for its three edges."""
    nearest = np.full((size, size), np.inf)
    corners = np.empty((3, 3))
    for face in range(faces.shape[0]):
        for corner in range(3):
            corners[corner] = points[faces[face, corner]]
        if max(corners[0, 2], corners[1, 2], corners[2, 2]) < near:
            continue
        first, second, third = (
            _cross(corners[1], corners[2]),
            _cross(corners[2], corners[0]),
            _cross(corners[0], corners[1]),
        )
        volume = corners[0, 0] * first[0] + corners[0, 1] * first[1] + corners[0, 2] * first[2]
        if volume >= 0:  # turned away from the camera, or seen edge-on
            continue
        left, right, top, bottom = _window(corners, focal, centre, size, near)
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                x, y = (column + 0.5 - centre[0]) / focal[0], (row + 0.5 - centre[1]) / focal[1]
                at_a = x * first[0] + y * first[1] + first[2]
                at_b = x * second[0] + y * second[1] + second[2]
                at_c = x * third[0] + y * third[1] + third[2]
                if at_a > 0 or at_b > 0 or at_c > 0 or at_a + at_b + at_c == 0:
                    continue
                depth = volume / (at_a + at_b + at_c)
                if near <= depth <= far and depth < nearest[row, column]:
                    nearest[row, column] = depth
    return np.where(np.isinf(nearest), 0.0, nearest)
