"""Exact distances from points to a grid surface, through the quadtree that the map's pixels already form.

libigl's `point_mesh_squared_distance` gives the same distances to rounding, four to ten times slower: it has to sort the
triangles into a tree first, and does not know where on the surface to begin. The tests hold the two against each other.
"""

import numpy as np
from numba import njit

from mfnet.evaluation.cylinder import SIZE, GridSurface

LEVELS = 9  # 256, 128, ..., 1 nodes a side
OFFSETS = np.cumsum([0] + [(SIZE >> level) ** 2 for level in range(LEVELS)])


def surface_distances(points: np.ndarray, pixels: np.ndarray, surface: GridSurface) -> np.ndarray:
    """Distance [P] from each of `points` [P, 3] to the nearest point of `surface`, in its unit.

    pixels [P]: for each point the pixel of the map to look at first. It only decides how long the search takes.
    The surface must have at least one quad.
    """
    boxes = _boxes(surface.vertices, surface.quads)
    return np.sqrt(_nearest(points, pixels, surface.vertices, surface.quads, boxes))


@njit(cache=True, nogil=True)
def _boxes(vertices, quads):
    """Bounds [nodes, 6] (low, high) of every quadtree node, leaves first; empty nodes are inside out."""
    boxes = np.empty((OFFSETS[-1], 6))
    boxes[:, :3] = np.inf
    boxes[:, 3:] = -np.inf
    for pixel in range(SIZE * SIZE):
        if quads[pixel]:
            for step in (0, 1, SIZE, SIZE + 1):
                for axis in range(3):
                    value = vertices[pixel + step, axis]
                    boxes[pixel, axis] = min(boxes[pixel, axis], value)
                    boxes[pixel, 3 + axis] = max(boxes[pixel, 3 + axis], value)
    for level in range(1, LEVELS):
        side = SIZE >> level
        for row in range(side):
            for column in range(side):
                box = boxes[OFFSETS[level] + row * side + column]
                for child in range(4):
                    below = OFFSETS[level - 1] + (2 * row + child // 2) * 2 * side + 2 * column + child % 2
                    for axis in range(3):
                        box[axis] = min(box[axis], boxes[below, axis])
                        box[3 + axis] = max(box[3 + axis], boxes[below, 3 + axis])
    return boxes


@njit(cache=True, nogil=True)
def _nearest(points, pixels, vertices, quads, boxes):
    """Squared distances [P]: first the quads around the given pixel, then whatever node could hold something nearer."""
    squared = np.empty(len(points))
    stack = np.empty((4 * LEVELS, 3), np.int64)
    for index in range(len(points)):
        point = points[index]
        best = np.inf
        for step in (0, 1, SIZE, SIZE + 1):
            leaf = pixels[index] - step
            if leaf >= 0 and quads[leaf]:
                best = min(best, _to_quad(point, vertices, leaf))
        stack[0, 0], stack[0, 1], stack[0, 2] = LEVELS - 1, 0, 0
        height = 1
        while height > 0:
            height -= 1
            level, row, column = stack[height, 0], stack[height, 1], stack[height, 2]
            node = OFFSETS[level] + row * (SIZE >> level) + column
            if _to_box(point, boxes[node]) >= best:
                continue
            if level == 0:
                best = min(best, _to_quad(point, vertices, node))
                continue
            height = _push(stack, height, point, boxes, level - 1, 2 * row, 2 * column)
        squared[index] = best
    return squared


@njit(cache=True, nogil=True)
def _push(stack, height, point, boxes, level, row, column):
    """Put a node's four children on the stack, the nearest on top."""
    start = height
    for child in range(4):
        entry = row + child // 2, column + child % 2
        distance = _to_box(point, boxes[OFFSETS[level] + entry[0] * (SIZE >> level) + entry[1]])
        if np.isinf(distance):
            continue
        place = height
        while place > start:
            under = stack[place - 1]
            if _to_box(point, boxes[OFFSETS[level] + under[1] * (SIZE >> level) + under[2]]) >= distance:
                break
            stack[place] = under
            place -= 1
        stack[place, 0], stack[place, 1], stack[place, 2] = level, entry[0], entry[1]
        height += 1
    return height


@njit(cache=True, nogil=True)
def _to_box(point, box):
    total = 0.0
    for axis in range(3):
        gap = max(box[axis] - point[axis], point[axis] - box[3 + axis], 0.0)
        total += gap * gap
    return total


@njit(cache=True, nogil=True)
def _to_quad(point, vertices, pixel):
    upper = _to_triangle(point, vertices[pixel], vertices[pixel + 1], vertices[pixel + SIZE])
    lower = _to_triangle(point, vertices[pixel + SIZE + 1], vertices[pixel + SIZE], vertices[pixel + 1])
    return min(upper, lower)


@njit(cache=True, nogil=True)
def _to_segment(px, py, pz, dx, dy, dz):
    """Squared distance from p to the segment from the origin to d."""
    length = dx * dx + dy * dy + dz * dz
    share = 0.0
    if length > 0:
        share = min(max((px * dx + py * dy + pz * dz) / length, 0.0), 1.0)
    x, y, z = px - share * dx, py - share * dy, pz - share * dz
    return x * x + y * y + z * z


@njit(cache=True, nogil=True)
def _to_triangle(point, a, b, c):
    """Squared distance: to the plane where the foot of the perpendicular lies inside, else to the nearest edge."""
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    px, py, pz = point[0] - a[0], point[1] - a[1], point[2] - a[2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    area = nx * nx + ny * ny + nz * nz
    if area > 0:
        # barycentric weights of b and c, times area
        to_b = (py * vz - pz * vy) * nx + (pz * vx - px * vz) * ny + (px * vy - py * vx) * nz
        to_c = (uy * pz - uz * py) * nx + (uz * px - ux * pz) * ny + (ux * py - uy * px) * nz
        if to_b >= 0 and to_c >= 0 and to_b + to_c <= area:
            height = px * nx + py * ny + pz * nz
            return height * height / area
    along = min(_to_segment(px, py, pz, ux, uy, uz), _to_segment(px, py, pz, vx, vy, vz))
    return min(along, _to_segment(px - ux, py - uy, pz - uz, vx - ux, vy - uy, vz - uz))
