"""Where the skin's vertices lie on the skull: midline, loops around eyes, lips and ears, and a graded fill between."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from mfnet.flame.procedural.anatomy import (
    EYE,
    INNER_CANTHUS,
    LOWER_LID,
    MOUTH_CORNER,
    NECK_BASE,
    OUTER_CANTHUS,
    UPPER_LID,
    ear_coordinates,
    ear_points,
    gaussian,
    lip_heights,
    mouth_line,
    smoothstep,
)
from mfnet.flame.procedural.skull import cast, cast_front, cast_level, cast_side, directions_of

EYE_SEGMENTS = 26
"""Vertices around one lid margin."""
LIP_SEGMENTS = 12
"""Edges of the mouth line from its middle to one corner."""
EYE_LOOPS = (0.0, 0.0014, 0.0032, 0.0056, 0.0084)
"""Distances of the loops around the eye from the lid margin, metres."""
EAR_SEGMENTS = 44
EAR_LOOPS = (0.62, 0.78, 0.92, 1.06, 1.20)
"""Ovals around the ear in units of its outline."""
NECK_SEGMENTS = 18
NECK_LOOPS = (0.0012, 0.0080)
"""Heights of loops above the neck's base, metres."""
LIP_LOOPS = (0.18, 0.42, 0.68, 1.0, 1.35)
"""Loops around the mouth in heights of the vermilion."""
CANDIDATES = 42000
RELAXATIONS = 12


@dataclass(frozen=True)
class Layout:
    """Vertices of the left half of the skin, those on the midline included.

    directions: [N, 3] unit, from `CENTRE`; x = 0 exactly on the midline. eye: indices of the lid margin, counter-
    clockwise seen from the front from the inner canthus. mouth: indices along the mouth line from the midline to the
    corner.
    """

    directions: np.ndarray
    eye: np.ndarray
    mouth: np.ndarray


def spacing(p: np.ndarray) -> np.ndarray:
    """Wanted edge length in metres at points [N, 3] of the skull's left half."""
    x, y, z = p[:, 0], p[:, 1], p[:, 2]
    front = smoothstep(z, -0.030, 0.028) * smoothstep(y, -0.122, -0.094) * (1.0 - smoothstep(y, 0.055, 0.080))
    size = 0.0105 - 0.0066 * front
    _, _, ear = ear_coordinates(p)
    size = size - (size - 0.0029) * (1.0 - smoothstep(ear, 1.15, 2.0))
    front_only = smoothstep(z, 0.0, 0.030)
    nose = gaussian(x, y, 0.004, -0.013, 0.011, 0.011)
    mouth = gaussian(x, y, 0.0, -0.045, 0.024, 0.011)
    eye = gaussian(x, y, EYE[0], EYE[1], 0.018, 0.015)
    detail = np.clip(nose + mouth + eye, 0.0, 1.0) * front_only
    return size - (size - 0.0024) * detail


def eye_loop(offset: float) -> np.ndarray:
    """Plane coordinates [EYE_SEGMENTS, 2] of the loop `offset` metres outside the margin of the left lids."""
    angle = np.pi + np.arange(EYE_SEGMENTS) * (2.0 * np.pi / EYE_SEGMENTS)
    along, up = np.cos(angle), np.sin(angle)
    middle, half = 0.5 * (INNER_CANTHUS + OUTER_CANTHUS), 0.5 * (OUTER_CANTHUS - INNER_CANTHUS)
    height = np.where(up > 0.0, UPPER_LID, LOWER_LID) + offset
    bulge = up * (1.0 - 0.18 * along * np.sign(up))
    wide = half * (1.0 + 0.9 * offset / half[0])
    return middle + along[:, None] * wide + np.column_stack([np.zeros_like(up), height * bulge])


def ear_loops() -> np.ndarray:
    """Points [N, 3] of the skull on ovals along the left ear's rim, so that its edge runs along edges of the mesh."""
    angle = np.arange(EAR_SEGMENTS) * (2.0 * np.pi / EAR_SEGMENTS)
    loops = []
    for k, radius in enumerate(EAR_LOOPS):
        turned = angle + 0.5 * (k % 2) * (2.0 * np.pi / EAR_SEGMENTS)
        loops.append(ear_points(radius * np.cos(turned), radius * np.sin(turned)))
    return cast_side(np.concatenate(loops))


def neck_loops() -> np.ndarray:
    """Points [N, 3] of the skull's left half around the neck's base, where its side rounds into its floor."""
    angle = (np.arange(NECK_SEGMENTS) + 0.5) * (np.pi / NECK_SEGMENTS)
    return np.concatenate([cast_level(NECK_BASE + rise, angle) for rise in NECK_LOOPS])


def lip_rows() -> list[np.ndarray]:
    """Plane coordinates of the rows above and below the left half of the mouth line, without the line itself."""
    x = mouth_positions()
    rows = []
    for side in (0, 1):
        for level in LIP_LOOPS:
            height = level * lip_heights(x)[side] + 0.0016 * max(level - 1.0, 0.0)
            keep = (height > 0.0011) & (x < MOUTH_CORNER * 0.97)
            rows.append(np.column_stack([x, mouth_line(x) + (1, -1)[side] * height])[keep])
    return rows


def mouth_positions() -> np.ndarray:
    """x of the mouth line's vertices, denser at the corner."""
    return MOUTH_CORNER * np.sin(np.linspace(0.0, 0.5 * np.pi, LIP_SEGMENTS + 1) * 0.92) / np.sin(0.46 * np.pi)


def _midline(taken: np.ndarray) -> np.ndarray:
    """Directions of the midline through crown, nape and neck base, graded by `spacing`, clear of `taken` [N, 3]."""
    angle = np.linspace(0.0, 2.0 * np.pi, 20001)
    ring = np.column_stack([np.zeros_like(angle), np.sin(angle), -np.cos(angle)])
    points = cast(ring)
    step = np.sqrt((np.diff(points, axis=0) ** 2).sum(-1))
    size = spacing(points[:-1])
    density = np.concatenate([[0.0], np.cumsum(step / size)])
    count = int(np.rint(density[-1]))
    wanted = np.interp(np.arange(count) * (density[-1] / count), density, angle)
    ring = np.column_stack([np.zeros_like(wanted), np.sin(wanted), -np.cos(wanted)])
    points = cast(ring)
    gap = np.sqrt(((points[:, None] - taken[None]) ** 2).sum(-1)).min(1)
    return ring[gap > 0.65 * spacing(points)]


def _fill(fixed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points [M, 3] of the skull's left half that keep their wanted distance from each other and `fixed` [N, 3]."""
    even = rng.normal(size=(CANDIDATES // 3, 3))
    front = rng.normal(size=(CANDIDATES - len(even), 3)) * 0.55 + np.array([0.0, 0.0, 1.0])
    directions = np.concatenate([even, front])
    directions = directions[rng.permutation(len(directions))]
    directions[:, 0] = np.abs(directions[:, 0])
    points = cast(directions / np.sqrt((directions**2).sum(-1, keepdims=True)))
    size = 0.78 * spacing(points)
    keep = points[:, 0] > 0.55 * size
    points, size = points[keep], size[keep]
    accepted = np.empty((len(fixed) + len(points), 3))
    accepted[: len(fixed)] = fixed
    count = len(fixed)
    for point, radius in zip(points, size, strict=True):
        offset = accepted[:count] - point
        if np.einsum("nk,nk->n", offset, offset).min() > radius * radius:
            accepted[count] = point
            count += 1
    return accepted[len(fixed) : count]


def _across_midline(hull: np.ndarray, directions: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Left halves [K, 3] of diamonds whose edge joins a point and its mirror image, not two points of the midline."""
    count = len(directions)
    original = np.concatenate([np.arange(count), mirrored])[hull]
    twice = np.sort(original, axis=1)
    both = (twice[:, 1:] == twice[:, :-1]).any(1)  # a point and its mirror image
    astride = both & (hull >= count).any(1) & (hull < count).any(1)
    ends: dict[int, list[int]] = {}
    for corners in original[astride].tolist():
        point = max(corners, key=corners.count)
        ends.setdefault(point, []).extend(corner for corner in corners if corner != point)
    return np.array([[point, *pair] for point, pair in sorted(ends.items())], dtype=np.int64).reshape(-1, 3)


def triangulate(directions: np.ndarray) -> np.ndarray:
    """Spherical Delaunay triangles [F, 3] of the left half, counter-clockwise from outside, in a reproducible order."""
    mirrored = np.flatnonzero(directions[:, 0] > 0.0)
    both = np.concatenate([directions, directions[mirrored] * np.array([-1.0, 1.0, 1.0])])
    hull = ConvexHull(both).simplices
    faces = np.concatenate([hull[(hull < len(directions)).all(1)], _across_midline(hull, directions, mirrored)])
    a, b, c = (both[faces[:, k]] for k in range(3))
    inward = (np.cross(b - a, c - a) * a).sum(-1) < 0.0
    faces[inward] = faces[inward][:, ::-1]
    first = faces.argmin(1)
    faces = faces[np.arange(len(faces))[:, None], (first[:, None] + np.arange(3)) % 3]
    return faces[np.lexsort(faces.T[::-1])]


def _relax(points: np.ndarray, free: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """One step of free points towards even edges in units of the wanted length, put back onto the skull."""
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)
    offset = points[edges[:, 1]] - points[edges[:, 0]]
    size = spacing(points)
    length = np.sqrt((offset**2).sum(-1)) / (0.5 * (size[edges[:, 0]] + size[edges[:, 1]]))
    pull = np.zeros_like(points)
    total = np.zeros(len(points))
    for here, sign in ((0, 1.0), (1, -1.0)):
        np.add.at(pull, edges[:, here], sign * offset * (length**2)[:, None])
        np.add.at(total, edges[:, here], length**2)
    moved = points + 0.6 * pull / total[:, None]
    moved[:, 0] = np.maximum(moved[:, 0], 0.45 * size)
    result = points.copy()
    result[free] = cast(directions_of(moved[free]))
    return result


def make_layout(rng: np.random.Generator) -> Layout:
    """Lay out the skin's left half. Loops and midline stay where they are put; the fill is random, then relaxed."""
    x = mouth_positions()
    mouth = np.column_stack([x, mouth_line(x)])
    plane = np.concatenate([mouth, *(eye_loop(offset) for offset in EYE_LOOPS), *lip_rows()])
    loops = directions_of(np.concatenate([cast_front(plane), ear_loops(), neck_loops()]))
    loops[np.abs(loops[:, 0]) < 1e-9, 0] = 0.0
    midline = _midline(cast(loops[loops[:, 0] == 0.0]))
    fixed = np.concatenate([loops, midline])
    points = np.concatenate([cast(fixed), _fill(_keep_out(cast(fixed)), rng)])
    directions = directions_of(points)
    directions[: len(fixed)] = fixed
    free = np.arange(len(fixed), len(points))
    for _ in range(RELAXATIONS):
        points = _relax(points, free, triangulate(directions))
        directions[free] = directions_of(points[free])
    inside = _inside_eye(points)
    inside[: len(fixed)] = False
    eye = len(mouth) + np.arange(EYE_SEGMENTS)
    return Layout(directions[~inside], eye, np.arange(len(mouth)))


def _inside_eye(points: np.ndarray) -> np.ndarray:
    """Whether points [N, 3] fall into the gap between the lids (a star-shaped polygon) on the front of the face."""
    loop = eye_loop(0.0004)
    middle = loop.mean(0)
    angle = np.arctan2(loop[:, 1] - middle[1], loop[:, 0] - middle[0])
    order = np.argsort(angle)
    radius = np.sqrt(((loop - middle) ** 2).sum(-1))
    offset = points[:, :2] - middle
    limit = np.interp(np.arctan2(offset[:, 1], offset[:, 0]), angle[order], radius[order], period=2.0 * np.pi)
    return (np.sqrt((offset**2).sum(-1)) < limit) & (points[:, 2] > 0.0)


def _keep_out(fixed: np.ndarray) -> np.ndarray:
    """The fixed points and some inside the palpebral fissure, so that the fill leaves it empty."""
    middle = 0.5 * (INNER_CANTHUS + OUTER_CANTHUS)
    inner = np.concatenate([middle + (eye_loop(0.0) - middle) * scale for scale in (0.8, 0.55, 0.3, 0.05)])
    return np.concatenate([fixed, cast_front(inner)])
