"""Cylinder maps: the outermost surface of a head around the vertical axis, and the surface over a map's pixels.

Pixel (row i, column j) holds the horizontal distance from the axis, in mm, of the farthest point that the ray from
(0, 150 - 300 i / 255, 0) along (-sin a, 0, -cos a), a = 2 pi j / 255, meets: column 0 is the back of the head, 127.5
the face, 64 its -x side, and columns 0 and 255 coincide. 0 means that nothing was hit. The canonical head frame is
`mfnet.datasets.facescape`'s.
"""

from dataclasses import dataclass

import numpy as np

from mfnet.compute.compiled import kernel
from mfnet.scoring.meshes import ItemError

SIZE = 256
HALF_HEIGHT = 150.0
"""The map spans y = -150 .. 150 mm."""
MAX_STEP = 15.0
"""Neighbouring pixels whose distances differ by this much or more, mm, are not joined to a surface."""

ANGLES = np.arange(SIZE) * 2 * np.pi / (SIZE - 1)
DIRECTIONS = np.column_stack([-np.sin(ANGLES), -np.cos(ANGLES)])
"""[256, 2] x and z of the ray of each column."""
HEIGHTS = np.linspace(HALF_HEIGHT, -HALF_HEIGHT, SIZE)
"""[256] y of each row."""


@dataclass(frozen=True)
class CylinderMap:
    """What the rays of one mesh hit."""

    distance: np.ndarray
    """[256, 256] mm from the axis; 0: no hit."""
    face: np.ndarray
    """[256, 256] int64 face that was hit; -1: none."""


@dataclass(frozen=True)
class GridSurface:
    """The surface over a map's pixels, before its unused vertices are dropped."""

    vertices: np.ndarray
    """[65536, 3] mm, canonical; pixel (i, j) is row 256 i + j."""
    quads: np.ndarray
    """[65536] bool: pixel k carries the triangles (k, k+1, k+256) and (k+257, k+256, k+1)."""

    @property
    def used(self) -> np.ndarray:
        """[65536] bool: the vertices that some triangle names."""
        used = np.zeros(len(self.vertices), bool)
        corners = np.flatnonzero(self.quads)
        for step in (0, 1, SIZE, SIZE + 1):
            used[corners + step] = True
        return used

    @property
    def faces(self) -> np.ndarray:
        """[F, 3] int64 into `vertices`."""
        corners = np.array([[0, 1, SIZE], [SIZE + 1, SIZE, 1]])
        return (np.flatnonzero(self.quads)[:, None, None] + corners).reshape(-1, 3)


def cylinder_map(vertices: np.ndarray, faces: np.ndarray) -> CylinderMap:
    """Map a mesh: `vertices` [V, 3] mm in the canonical frame, `faces` [F, 3]."""
    return CylinderMap(*_farthest_hits(np.ascontiguousarray(vertices), faces, HEIGHTS, DIRECTIONS))


def grid_surface(distance: np.ndarray) -> GridSurface:
    """The surface of a masked map [256, 256].

    A pixel carries a quad where it is non-zero and differs by less than 15 mm from its right, lower and lower-right
    neighbours. As in the official code neighbours wrap around the map while vertex numbers run on, so that the quads of
    column 255 are slivers that name pixels of the next rows.

    Raises ItemError ``beyond_cylinder`` where a triangle would name a vertex past the map: there the official code
    stops with an IndexError and gives no number.
    """
    right, below, across = np.roll(distance, -1, 1), np.roll(distance, -1, 0), np.roll(distance, (-1, -1), (0, 1))
    step = np.maximum(np.abs(distance - right), np.maximum(np.abs(distance - below), np.abs(distance - across)))
    quads = ((step < MAX_STEP) & (distance != 0)).ravel()
    if quads[-(SIZE + 1) :].any():
        raise ItemError("beyond_cylinder", "both meshes reach y = -150 mm: no official number (IndexError there)")
    x, z = distance * DIRECTIONS[:, 0], distance * DIRECTIONS[:, 1]
    y = np.repeat(HEIGHTS[:, None], SIZE, axis=1)
    return GridSurface(np.stack([x, y, z], axis=2).reshape(-1, 3), quads)


@kernel
def _farthest_hits(
    points: np.ndarray, faces: np.ndarray, heights: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cut every triangle with every row's plane; the cut is a segment, and the segment covers a few columns.

    Segments of neighbouring triangles share end points bit for bit, because a cut is computed from the lower to the
    upper end of an edge: no ray slips through between them.
    """
    size = len(heights)
    distance = np.zeros((size, size))
    hit = np.full((size, size), -1, np.int64)
    spacing = heights[0] - heights[1]
    ends = np.empty((2, 2))
    for face in range(faces.shape[0]):
        ya, yb, yc = points[faces[face, 0], 1], points[faces[face, 1], 1], points[faces[face, 2], 1]
        first = max(int(np.ceil(max((heights[0] - max(ya, yb, yc)) / spacing, 0.0) - 1e-6)), 0)
        last = min(int(np.floor(min((heights[0] - min(ya, yb, yc)) / spacing, size - 1.0) + 1e-6)), size - 1)
        for row in range(first, last + 1):
            if _cut(points, faces[face], heights[row], ends):
                _mark(ends, directions, face, distance[row], hit[row])
    return distance, hit


@kernel
def _cut(points: np.ndarray, triangle: np.ndarray, height: float, ends: np.ndarray) -> bool:
    """Write the x, z of the two points where the plane y = height crosses the triangle's edges; False without two."""
    found = 0
    for edge in range(3):
        lower, upper = triangle[edge], triangle[(edge + 1) % 3]
        if points[lower, 1] > points[upper, 1]:
            lower, upper = upper, lower
        # half-open: a plane through a vertex counts the edge below it and not the one above
        if points[lower, 1] < height <= points[upper, 1]:
            share = (height - points[lower, 1]) / (points[upper, 1] - points[lower, 1])
            ends[found, 0] = points[lower, 0] + share * (points[upper, 0] - points[lower, 0])
            ends[found, 1] = points[lower, 2] + share * (points[upper, 2] - points[lower, 2])
            found += 1
    return found == 2


@kernel
def _mark(ends: np.ndarray, directions: np.ndarray, face: int, distance: np.ndarray, hit: np.ndarray) -> None:
    """Enter a segment in x, z into one row of the map wherever it lies beyond what is there."""
    size = directions.shape[0]
    xa, za, xb, zb = ends[0, 0], ends[0, 1], ends[1, 0], ends[1, 1]
    unit = (size - 1) / (2 * np.pi)
    start = np.arctan2(-xa, -za) * unit  # the column whose ray points to the end, in -127.5 .. 127.5
    arc = np.arctan2(za * xb - xa * zb, xa * xb + za * zb) * unit
    low, high = int(np.floor(min(start, start + arc))), int(np.ceil(max(start, start + arc)))
    if high - low > (size - 1) // 2 - 2:  # the segment passes the axis so closely that rounding could turn the arc
        low, high = 0, size - 1
    for column in range(low, high + 1):
        wrapped = column % (size - 1)
        dx, dz = directions[wrapped, 0], directions[wrapped, 1]
        side_a, side_b = dx * za - dz * xa, dx * zb - dz * xb
        if side_a * side_b > 0 or side_a == side_b:
            continue
        share = side_a / (side_a - side_b)
        reach = dx * (xa + share * (xb - xa)) + dz * (za + share * (zb - za))
        if reach > distance[wrapped]:
            distance[wrapped], hit[wrapped] = reach, face
    distance[size - 1], hit[size - 1] = distance[0], hit[0]
