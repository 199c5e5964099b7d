"""Exact distances from points to a grid surface, by a search that starts at the pixel where a point lies.

A quad of the surface lies between two planes of equal height and between two half planes through the axis, and what is
farther from a point than the nearest triangle so far is never looked at. The tests hold the distances against libigl's.
"""

import numpy as np

from mfnet.compute.compiled import kernel
from mfnet.scoring.cylinder import HALF_HEIGHT, SIZE, GridSurface

_ROW = 2 * HALF_HEIGHT / (SIZE - 1)
"""Millimetres from one row to the next."""
_COLUMN = 2 * np.pi / (SIZE - 1)
"""Radians from one column to the next; the last one is the first one again."""
_COS, _SIN = np.cos(np.arange(SIZE) * _COLUMN), np.sin(np.arange(SIZE) * _COLUMN)
_SAGITTA = np.cos(_COLUMN / 2)
"""A chord from one column to the next comes so much nearer to the axis than its ends."""
_FLAT = 1e-16
"""Squared sine of the angle between two edges below which a triangle has no area."""


def surface_distances(points: np.ndarray, surface: GridSurface) -> np.ndarray:
    """Distance [P] from each of `points` [P, 3] to the nearest point of `surface`, mm.

    The surface is one of `mfnet.scoring.cylinder.grid_surface`'s and must have at least one quad.
    """
    radii = np.hypot(surface.vertices[:, 0], surface.vertices[:, 2])
    corners = np.stack([np.roll(radii, -step) for step in (0, 1, SIZE, SIZE + 1)])
    points = np.ascontiguousarray(points, np.float64)
    return np.sqrt(_nearest(points, surface.vertices, surface.quads, _SAGITTA * corners.min(0), corners.max(0)))


@kernel
def _nearest(
    points: np.ndarray, vertices: np.ndarray, quads: np.ndarray, least: np.ndarray, most: np.ndarray
) -> np.ndarray:
    """Squared distances [P]; least, most [65536]: what is nearest to the axis in each quad, and farthest from it."""
    found = np.empty(len(points))
    for index in range(len(points)):
        x, y, z, best = points[index, 0], points[index, 1], points[index, 2], np.inf
        row, radius = (HALF_HEIGHT - y) / _ROW, np.hypot(x, z)
        column = (np.arctan2(-x, -z) % (2 * np.pi)) / _COLUMN
        own_row, own_column = min(max(int(np.floor(row)), 0), SIZE - 2), min(int(column), SIZE - 2)
        cos, sin = np.cos((column - own_column) * _COLUMN), np.sin((column - own_column) * _COLUMN)
        last = np.cos(column * _COLUMN)
        for away in range(SIZE):
            below, above = own_row + away, own_row - away
            down = (max(below - row, 0.0) * _ROW) ** 2 if below < SIZE - 1 else np.inf
            up = (max(row - above - 2, 0.0) * _ROW) ** 2 if above >= 0 else np.inf  # slivers reach down two rows
            if down >= best and up >= best:
                break
            for at in (below, above):
                if at < 0 or at > SIZE - 2 or (away == 0 and at != below):
                    continue
                apart, start = (max(at - row, row - at - 1, 0.0) * _ROW) ** 2, SIZE * at
                for beside in range(SIZE // 2 + 1):
                    right = _COS[beside] * cos + _SIN[beside] * sin if beside else 1.0
                    left = _COS[beside - 1] * cos - _SIN[beside - 1] * sin if beside else 1.0
                    if apart + min(_beyond(radius, right), _beyond(radius, left)) >= best:
                        break
                    column = own_column + beside if own_column + beside < SIZE - 1 else own_column + beside - SIZE + 1
                    if _may_hold(radius, quads, least, most, start + column, apart, right, best):
                        best = min(best, _quad(x, y, z, vertices, start + column))
                    column = own_column - beside if own_column >= beside else own_column - beside + SIZE - 1
                    if beside and _may_hold(radius, quads, least, most, start + column, apart, left, best):
                        best = min(best, _quad(x, y, z, vertices, start + column))
                reach = (max(at - row, row - at - 2, 0.0) * _ROW) ** 2
                if _may_hold(radius, quads, least, most, start + SIZE - 1, reach, last, best):
                    best = min(best, _quad(x, y, z, vertices, start + SIZE - 1))
        found[index] = best
    return found


@kernel
def _beyond(radius: float, cosine: float) -> float:
    """Squared distance, in the plane, from a point at `radius` to a half plane through the axis at an angle."""
    return radius * radius * (1 - cosine * cosine) if cosine > 0 else radius * radius


@kernel
def _may_hold(
    radius: float,
    quads: np.ndarray,
    least: np.ndarray,
    most: np.ndarray,
    quad: int,
    apart: float,
    cosine: float,
    best: float,
) -> bool:
    """Whether a quad is there and may come nearer than `best`, squared, to a point at `radius`.

    apart: squared difference in height; cosine: of the angle between point and quad. With radii p and q the squared
    distance in the plane is (p - q)^2 + 2 p q (1 - cosine).
    """
    gap = max(least[quad] - radius, radius - most[quad], 0.0)
    return quads[quad] and apart + gap * gap + 2 * radius * least[quad] * (1 - cosine) < best


@kernel
def _quad(x: float, y: float, z: float, vertices: np.ndarray, quad: int) -> float:
    """Squared distance to the nearer of the two triangles of a pixel."""
    right, below, across = quad + 1, quad + SIZE, quad + SIZE + 1
    return min(_triangle(x, y, z, vertices, quad, right, below), _triangle(x, y, z, vertices, across, below, right))


@kernel
def _triangle(x: float, y: float, z: float, vertices: np.ndarray, a: int, b: int, c: int) -> float:
    """Squared distance to a triangle, by the region of its corners, edges and face that the point lies in (Ericson,
    Real-Time Collision Detection, 5.1.5). One without area, as the slivers of the last column are, has edges alone."""
    ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
    bx, by, bz = vertices[b, 0] - ax, vertices[b, 1] - ay, vertices[b, 2] - az
    cx, cy, cz = vertices[c, 0] - ax, vertices[c, 1] - ay, vertices[c, 2] - az
    px, py, pz = x - ax, y - ay, z - az
    bb, cc, bc = bx * bx + by * by + bz * bz, cx * cx + cy * cy + cz * cz, bx * cx + by * cy + bz * cz
    if bb * cc - bc * bc <= _FLAT * bb * cc:
        edges = _edge(x, y, z, vertices, a, b), _edge(x, y, z, vertices, b, c), _edge(x, y, z, vertices, c, a)
        return min(edges[0], min(edges[1], edges[2]))
    ab, ac = bx * px + by * py + bz * pz, cx * px + cy * py + cz * pz  # the point along both edges, from a
    bb_, bc_, cb_, cc_ = ab - bb, ac - bc, ab - bc, ac - cc  # and from b and c
    va, vb, vc = bb_ * cc_ - cb_ * bc_, cb_ * ac - ab * cc_, ab * bc_ - bb_ * ac
    u, v = 0.0, 0.0
    if ab <= 0 and ac <= 0:
        pass
    elif bb_ >= 0 and bc_ <= bb_:
        u = 1.0
    elif cc_ >= 0 and cb_ <= cc_:
        v = 1.0
    elif vc <= 0 and ab >= 0 and bb_ <= 0:
        u = ab / bb
    elif vb <= 0 and ac >= 0 and cc_ <= 0:
        v = ac / cc
    elif va <= 0 and bc_ >= bb_ and cb_ >= cc_:
        v = (bc_ - bb_) / (bb + cc - 2 * bc)
        u = 1.0 - v
    else:
        u, v = vb / (va + vb + vc), vc / (va + vb + vc)
    px, py, pz = px - u * bx - v * cx, py - u * by - v * cy, pz - u * bz - v * cz
    return px * px + py * py + pz * pz


@kernel
def _edge(x: float, y: float, z: float, vertices: np.ndarray, a: int, b: int) -> float:
    """Squared distance to a segment, which may be a point."""
    bx, by, bz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
    px, py, pz = x - vertices[a, 0], y - vertices[a, 1], z - vertices[a, 2]
    length = bx * bx + by * by + bz * bz
    share = min(max((px * bx + py * by + pz * bz) / length, 0.0), 1.0) if length > 0 else 0.0
    return (px - share * bx) ** 2 + (py - share * by) ** 2 + (pz - share * bz) ** 2
