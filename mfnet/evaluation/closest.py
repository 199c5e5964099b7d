"""Exact distances from points to a grid surface, through the quadtree that the map's pixels already form.

Libraries give the same distances two and a half (Lagrange, Embree) to ten times (VTK) slower: they have to sort the
triangles into a tree first, and do not know where on the surface to begin. With them one item would take about a fifth
of the official code's CPU time or more (figures in docs/log.md). The tests hold ours against libigl.
"""

import numpy as np

from mfnet.evaluation.cylinder import SIZE, GridSurface
from mfnet.parallel import kernel

LEVELS = 9  # 256, 128, ..., 1 nodes a side
OFFSETS = np.cumsum([0] + [(SIZE >> level) ** 2 for level in range(LEVELS)])


def surface_distances(points: np.ndarray, pixels: np.ndarray, surface: GridSurface) -> np.ndarray:
    """Distance [P] from each of `points` [P, 3] to the nearest point of `surface`, in its unit.

    pixels [P]: for each point the pixel of the map to look at first. It only decides how long the search takes.
    The surface must have at least one quad.
    """
    boxes = _boxes(surface.vertices, surface.quads)
    return np.sqrt(_nearest(points, pixels, surface.vertices, surface.quads, boxes))


@kernel
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


@kernel
def _nearest(points, pixels, vertices, quads, boxes):
    """Squared distances [P]: first to where the search is likely to end, then, climbing from the point's own pixel, to
    every node that could hold less.
    """
    squared = np.empty(len(points))
    stack = np.empty((4 * LEVELS, 3), np.int64)
    leaf = -1  # neighbouring points have neighbouring answers: the last one is a good first guess
    for index in range(len(points)):
        x, y, z = points[index, 0], points[index, 1], points[index, 2]
        best = np.inf if leaf < 0 else _to_quad(x, y, z, vertices, leaf)
        pixel = pixels[index]
        if quads[pixel]:
            own = _to_quad(x, y, z, vertices, pixel)
            if own < best:
                best, leaf = own, pixel
        row, column = pixel // SIZE, pixel % SIZE
        for level in range(LEVELS - 1):
            for sibling in range(1, 4):
                at_row, at_column = row ^ (sibling >> 1), column ^ (sibling & 1)
                if _to_box(x, y, z, boxes, OFFSETS[level] + at_row * (SIZE >> level) + at_column) < best:
                    stack[0, 0], stack[0, 1], stack[0, 2] = level, at_row, at_column
                    best, leaf = _descend(x, y, z, vertices, boxes, stack, best, leaf)
            row, column = row >> 1, column >> 1
        squared[index] = best
    return squared


@kernel
def _descend(x, y, z, vertices, boxes, stack, best, leaf):
    """The lesser of `best` and the squared distance to what lies under the node on the stack, and its leaf."""
    height = 1
    while height > 0:
        height -= 1
        level, row, column = stack[height, 0], stack[height, 1], stack[height, 2]
        if level == 0:
            distance = _to_quad(x, y, z, vertices, row * SIZE + column)
            if distance < best:
                best, leaf = distance, row * SIZE + column
            continue
        for child in range(4):
            at_row, at_column = 2 * row + child // 2, 2 * column + child % 2
            if _to_box(x, y, z, boxes, OFFSETS[level - 1] + at_row * (2 * SIZE >> level) + at_column) < best:
                stack[height, 0], stack[height, 1], stack[height, 2] = level - 1, at_row, at_column
                height += 1
    return best, leaf


@kernel
def _to_box(x, y, z, boxes, node):
    dx = max(boxes[node, 0] - x, x - boxes[node, 3], 0.0)
    dy = max(boxes[node, 1] - y, y - boxes[node, 4], 0.0)
    dz = max(boxes[node, 2] - z, z - boxes[node, 5], 0.0)
    return dx * dx + dy * dy + dz * dz


@kernel
def _to_quad(x, y, z, vertices, pixel):
    upper = _to_triangle(x, y, z, vertices, pixel, pixel + 1, pixel + SIZE)
    lower = _to_triangle(x, y, z, vertices, pixel + SIZE + 1, pixel + SIZE, pixel + 1)
    return min(upper, lower)


@kernel
def _to_segment(px, py, pz, dx, dy, dz):
    """Squared distance from p to the segment from the origin to d."""
    length = dx * dx + dy * dy + dz * dz
    share = 0.0
    if length > 0:
        share = min(max((px * dx + py * dy + pz * dz) / length, 0.0), 1.0)
    x, y, z = px - share * dx, py - share * dy, pz - share * dz
    return x * x + y * y + z * z


@kernel
def _to_triangle(x, y, z, vertices, a, b, c):
    """Squared distance: to the plane where the foot of the perpendicular lies inside, else to the nearest edge."""
    ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
    ux, uy, uz = vertices[b, 0] - ax, vertices[b, 1] - ay, vertices[b, 2] - az
    vx, vy, vz = vertices[c, 0] - ax, vertices[c, 1] - ay, vertices[c, 2] - az
    px, py, pz = x - ax, y - ay, z - az
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
