"""The 68 iBUG landmarks as points of the mesh, the contour dynamic with yaw, in the format of DECA's embedding file."""

from collections.abc import Iterable

import numpy as np

from mfnet.flame.procedural.anatomy import MOUTH_CORNER, lip_heights, mouth_line
from mfnet.flame.procedural.skull import cast_front, directions_of
from mfnet.flame.procedural.topology import SKIN, HeadMesh

# The left half in plane coordinates (metres); the right half is its mirror image.
BROW = ((0.0110, 0.0465), (0.0230, 0.0505), (0.0360, 0.0505), (0.0470, 0.0465), (0.0555, 0.0390))
NOSE_BRIDGE = ((0.0, 0.0270), (0.0, 0.0160), (0.0, 0.0050), (0.0, -0.0080))
NOSE_BASE = ((0.0, -0.0222), (0.0062, -0.0212), (0.0125, -0.0200))
OUTER_LIP_X = (0.0, 0.0055, 0.0155)
INNER_LIP_X = 0.0095
EYE_LOOP = (0, 21, 18, 13, 8, 5)
"""Vertices of the left lid margin for points 42 .. 47: inner corner, two above, outer corner, two below."""

CONTOUR_JAW = (  # points 8 .. 16 on the outline of the left jaw, from the chin to the ear
    (0.0, -0.0900, 0.052),
    (0.015, -0.0875, 0.050),
    (0.030, -0.0825, 0.036),
    (0.043, -0.0750, 0.020),
    (0.054, -0.0640, 0.003),
    (0.0615, -0.0460, -0.006),
    (0.066, -0.0240, -0.009),
    (0.069, -0.0010, -0.011),
    (0.071, 0.0220, -0.012),
)
CONTOUR_FRONT = (  # where the silhouette may slide to when the cheek turns away: plane coordinates
    (0.0, -0.0800),
    (0.008, -0.0770),
    (0.016, -0.0720),
    (0.023, -0.0640),
    (0.029, -0.0550),
    (0.033, -0.0400),
    (0.036, -0.0220),
    (0.038, -0.0010),
    (0.042, 0.0220),
)
CONTOUR_OUTWARD = (
    (0, -1),
    (0.25, -0.97),
    (0.5, -0.87),
    (0.7, -0.71),
    (0.87, -0.5),
    (0.97, -0.25),
    (1, 0),
    (1, 0),
    (1, 0),
)
"""Image direction in which each contour point is the outermost of its curve."""
CURVE_SAMPLES = 81
MAX_YAW = 39


class _Locator:
    """Finds the face and barycentric coordinates of directions on the skin's left half."""

    def __init__(self, mesh: HeadMesh) -> None:
        self.half = len(mesh.faces) // 2
        faces = mesh.faces[: self.half]
        self.ids = np.flatnonzero((mesh.part[faces] == SKIN).all(1))
        corners = mesh.directions[faces[self.ids]]
        a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
        self.planes = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)

    def __call__(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Faces [N] and barycentric coordinates [N, 3] of unit directions [N, 3] with x >= 0."""
        faces, weights = [], []
        for direction in directions:
            share = (self.planes * direction).sum(-1)
            best = int(share.min(1).argmax())
            inside = np.clip(share[best], 0.0, None)
            faces.append(self.ids[best])
            weights.append(inside / inside.sum())
        return np.array(faces), np.array(weights)


def _at_vertices(mesh: HeadMesh, vertices: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """A face of the left half at each vertex, and its corner as barycentric coordinates."""
    half = mesh.faces[: len(mesh.faces) // 2]
    rows = [np.argwhere(half == vertex)[0] for vertex in vertices]
    return np.array([row for row, _ in rows]), np.eye(3)[[corner for _, corner in rows]]


def _mirrored(mesh: HeadMesh, faces: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same points on the right half (whose faces follow the left's in the same order, corners reversed)."""
    return faces + len(mesh.faces) // 2, weights[..., ::-1]


def static_embedding(mesh: HeadMesh) -> tuple[np.ndarray, np.ndarray]:
    """Faces [51] and barycentric coordinates [51, 3] of the landmarks 17 .. 67."""
    locate = _Locator(mesh)
    x = np.array(OUTER_LIP_X)
    upper, lower = lip_heights(x)
    upper_lip = np.column_stack([x, mouth_line(x) + upper])
    lower_lip = np.column_stack([x, mouth_line(x) - lower])
    corner = np.array([[MOUTH_CORNER + 0.0008, float(mouth_line(np.array(MOUTH_CORNER)))]])
    plane = np.concatenate([BROW, NOSE_BRIDGE, NOSE_BASE, upper_lip, lower_lip, corner])
    found = locate(directions_of(cast_front(plane)))
    middle = mesh.lips.shape[1] // 2
    inner = middle + int(np.abs(mesh.vertices[mesh.lips[0, middle:], 0] - INNER_LIP_X).argmin())
    rim = [mesh.lips[0, middle], mesh.lips[0, inner], mesh.lips[0, -1], mesh.lips[1, inner], mesh.lips[1, middle]]
    exact = _at_vertices(mesh, [*mesh.lid[0, list(EYE_LOOP)], *rim])
    left = [np.concatenate(parts) for parts in zip(found, exact, strict=True)]
    right = _mirrored(mesh, *left)
    order = _static_order(len(plane))
    faces, weights = (np.stack([(right if flip else left)[k][i] for i, flip in order]) for k in (0, 1))
    return faces, weights


def _static_order(exact: int) -> list[tuple[int, bool]]:
    """For landmarks 17 .. 67: index into the left half's points, whether mirrored. `exact`: first vertex point."""
    brow, bridge, base, upper, lower, corner = 0, 5, 9, 12, 15, 18
    eye, rim = exact, exact + 6
    order = [(brow + k, True) for k in (4, 3, 2, 1, 0)] + [(brow + k, False) for k in range(5)]
    order += [(bridge + k, False) for k in range(4)]
    order += [(base + 2, True), (base + 1, True), (base, False), (base + 1, False), (base + 2, False)]
    order += [(eye + k, True) for k in (3, 2, 1, 0, 5, 4)] + [(eye + k, False) for k in range(6)]
    order += [
        (corner, True),
        (upper + 2, True),
        (upper + 1, True),
        (upper, False),
        (upper + 1, False),
        (upper + 2, False),
    ]
    order += [
        (corner, False),
        (lower + 2, False),
        (lower + 1, False),
        (lower, False),
        (lower + 1, True),
        (lower + 2, True),
    ]
    order += [(rim + 2, True), (rim + 1, True), (rim, False), (rim + 1, False), (rim + 2, False)]
    return [*order, (rim + 3, False), (rim + 4, False), (rim + 3, True)]


def _contour_curves() -> np.ndarray:
    """Directions [9, CURVE_SAMPLES, 3] of arcs from the front of the face to the jaw's outline, points 8 .. 16."""
    front = directions_of(cast_front(np.array(CONTOUR_FRONT)))
    jaw = directions_of(np.array(CONTOUR_JAW))
    share = np.linspace(0.0, 1.0, CURVE_SAMPLES)[None, :, None]
    arcs = front[:, None] * (1.0 - share) + jaw[:, None] * share
    return arcs / np.sqrt((arcs**2).sum(-1, keepdims=True))


def dynamic_embedding(mesh: HeadMesh) -> tuple[np.ndarray, np.ndarray]:
    """Faces [79, 17] and barycentric coordinates [79, 17, 3] of the contour, one row a degree of yaw.

    Rows 0 .. 39 are yaw 0 .. +39 degrees (nose towards the subject's left, camera on +z), rows 40 .. 78 are -1 ..
    -39: DECA's table. A point is where its curve across the cheek reaches the outline of the head so turned; on the
    side that turns towards the camera, it rests on the jaw's edge (landmark marching, Zhu et al. 2015).
    """
    curves = _contour_curves()
    faces, weights = _Locator(mesh)(curves.reshape(-1, 3))
    points = (mesh.vertices[mesh.faces[faces]] * weights[..., None]).sum(1).reshape(curves.shape)
    faces, weights = faces.reshape(curves.shape[:2]), weights.reshape(*curves.shape[:2], 3)
    outward = np.array(CONTOUR_OUTWARD, float)[:, None]
    yaws = np.concatenate([np.arange(MAX_YAW + 1), -np.arange(1, MAX_YAW + 1)])

    def left_side(degrees: float) -> tuple[np.ndarray, np.ndarray]:
        angle = np.deg2rad(degrees)
        turned = points[..., 0] * np.cos(angle) + points[..., 2] * np.sin(angle)
        reach = turned * outward[..., 0] + points[..., 1] * outward[..., 1]
        best = reach.argmax(1)
        return faces[np.arange(9), best], weights[np.arange(9), best]

    rows = []
    for yaw in yaws:
        left, right = left_side(yaw), _mirrored(mesh, *left_side(-yaw))
        rows.append([np.concatenate([right[k][:0:-1], left[k]]) for k in (0, 1)])
    return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])
