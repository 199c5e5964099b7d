"""The head's mesh: skin cut open at mouth and eyes, the pockets behind, the eyeballs, and the mirrored right half."""

import functools
from dataclasses import dataclass

import numpy as np

from mfnet.flame.procedural.anatomy import EYE, EYE_RADIUS, LID_RADIUS, MOUTH_CORNER, mouth_line
from mfnet.flame.procedural.delaunay import flip_to_delaunay
from mfnet.flame.procedural.layout import Layout, make_layout, triangulate
from mfnet.flame.procedural.sculpt import sculpt
from mfnet.flame.procedural.skull import cast

SKIN, MOUTH, SOCKET, EYEBALL = range(4)
"""Parts of the mesh. The first three are one closed surface; each eyeball is another."""

MOUTH_RINGS = ((0.0025, 0.0004, 0.985), (0.0070, 0.0016, 0.96), (0.0140, 0.0034, 0.92), (0.0230, 0.0036, 0.84))
"""Pocket of the mouth: depth, half opening at the middle, and width as a share of the mouth's."""
SOCKET_RINGS = 3
EYE_RINGS, EYE_SEGMENTS = 12, 18


@dataclass(frozen=True)
class HeadMesh:
    """The average head.

    vertices: [V, 3] metres. faces: [F, 3] counter-clockwise from outside. part: [V] SKIN ... EYEBALL. side: [V] +1
    for the upper and -1 for the lower edge of the mouth line and pocket, 0 elsewhere. directions: [V, 3] parameters:
    unit directions on the skin, plane coordinates (x, y, 0) within the unit circle of the lips in the mouth's pocket,
    unit directions within the gap of the lids in the sockets, zeros on the eyeballs. mirror: [V] index of the vertex
    on the other side. lid: [2, N] margin of the left and right lids. lips: [2, M] the upper and lower edge of the
    mouth line from the right corner to the left one.
    """

    vertices: np.ndarray
    faces: np.ndarray
    part: np.ndarray
    side: np.ndarray
    directions: np.ndarray
    mirror: np.ndarray
    lid: np.ndarray
    lips: np.ndarray


class _Half:
    """The left half under construction: blocks of vertices and faces that are appended in turn."""

    def __init__(self) -> None:
        self.vertices, self.part, self.side, self.directions, self.faces = [], [], [], [], []
        self.count = 0

    def add(
        self, vertices: np.ndarray, part: int, side: int | np.ndarray = 0, directions: float | np.ndarray = 0.0
    ) -> np.ndarray:
        """Append vertices [N, 3]; returns their indices [N]."""
        indices = self.count + np.arange(len(vertices))
        self.vertices.append(vertices)
        self.part.append(np.full(len(vertices), part, np.int8))
        self.side.append(np.broadcast_to(np.asarray(side, np.int8), len(vertices)))
        self.directions.append(np.broadcast_to(directions, vertices.shape))
        self.count += len(vertices)
        return indices

    def strip(self, outer: np.ndarray, inner: np.ndarray) -> None:
        """Triangles between two chains; the surface outside already runs along `outer` in this order."""
        a, b, c, d = outer[:-1], outer[1:], inner[:-1], inner[1:]
        quads = np.concatenate([np.column_stack([b, a, c]), np.column_stack([b, c, d])])
        self.faces.append(
            quads[(quads[:, 0] != quads[:, 1]) & (quads[:, 1] != quads[:, 2]) & (quads[:, 0] != quads[:, 2])]
        )


def _cut_mouth(layout: Layout, faces: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces with the mouth line split, and the indices of its lower edge's new vertices (the corner stays whole)."""
    upper = layout.mouth[:-1]
    lower = len(points) + np.arange(len(upper))
    replace = np.arange(len(points))
    replace[upper] = lower
    middle = points[faces].mean(1)
    below = (middle[:, 1] < mouth_line(middle[:, 0])) & (middle[:, 2] > 0.0)
    return np.where(below[:, None], replace[faces], faces), lower


def _add_mouth(half: _Half, rim: np.ndarray, vertices: np.ndarray) -> None:
    """The pocket behind the lips: `rim` runs from the midline along one edge to the corner and back along the other."""
    count = len(rim) // 2
    chain, side = rim, np.sign(count - np.arange(len(rim)))
    edge = vertices[rim]
    if edge[0, 1] < edge[-1, 1]:
        side = -side
    middle = 0.5 * (edge + edge[::-1])
    opening = np.sqrt(np.clip(1.0 - (middle[:, 0] / MOUTH_CORNER) ** 2, 0.0, 1.0))
    along = middle[:, 0] / MOUTH_CORNER
    circle = np.column_stack([along, side * opening, np.zeros_like(along)])
    for k, (depth, height, width) in enumerate(MOUTH_RINGS, start=1):
        ring = middle * np.array([width, 1.0, 1.0]) - np.array([0.0, 0.0, depth])
        ring[:, 1] += side * height * opening + 0.3 * depth * (middle[:, 1] - middle[0, 1])
        ring[:, 2] = middle[:, 2] - depth * (0.35 + 0.65 * opening)
        inner = half.add(ring, MOUTH, side, circle * (1.0 - 0.17 * k))
        half.strip(chain, inner)
        chain = inner
    half.strip(chain[: count + 1], chain[::-1][: count + 1])


def _add_socket(half: _Half, rim: np.ndarray, vertices: np.ndarray, directions: np.ndarray) -> None:
    """The pocket behind the lids: rings around the back of the eyeball, closed by one vertex."""
    offset = vertices[rim] - EYE
    radius = np.sqrt((offset**2).sum(-1))
    polar, azimuth = np.arccos(offset[:, 2] / radius), np.arctan2(offset[:, 1], offset[:, 0])
    behind = LID_RADIUS + 0.0004
    middle = directions.mean(0)
    chain = rim
    for k in range(1, SOCKET_RINGS + 1):
        share = k / (SOCKET_RINGS + 1)
        angle = polar + (np.pi - polar) * share
        size = radius + (behind - radius) * min(1.0, 1.6 * share)
        ring = EYE + _spherical(angle, azimuth) * size[:, None]
        inner = half.add(ring, SOCKET, 0, directions + (middle - directions) * share)
        half.strip(np.append(chain, chain[0]), np.append(inner, inner[0]))
        chain = inner
    pole = half.add(EYE - np.array([[0.0, 0.0, behind]]), SOCKET, 0, middle)
    closed = np.append(chain, chain[0])
    half.strip(closed, np.repeat(pole, len(closed)))


def _spherical(polar: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Unit vectors [N, 3] at `polar` angles from +z and `azimuth` from +x towards +y."""
    return np.column_stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)])


def _add_eyeball(half: _Half) -> None:
    """A sphere of rings around z, the cornea a little proud of it."""
    azimuth = np.arange(EYE_SEGMENTS) * (2.0 * np.pi / EYE_SEGMENTS)
    chain = half.add(EYE + np.array([[0.0, 0.0, _eye_radius(0.0)]]), EYEBALL).repeat(EYE_SEGMENTS + 1)
    for k in range(1, EYE_RINGS):
        polar = np.pi * k / EYE_RINGS
        ring = half.add(EYE + _eye_radius(polar) * _spherical(np.full(EYE_SEGMENTS, polar), azimuth), EYEBALL)
        inner = np.append(ring, ring[0])
        half.strip(chain, inner)
        chain = inner
    pole = half.add(EYE - np.array([[0.0, 0.0, EYE_RADIUS]]), EYEBALL)
    half.strip(chain, pole.repeat(EYE_SEGMENTS + 1))


def _eye_radius(polar: float) -> float:
    return EYE_RADIUS + 0.0004 * float(np.exp(-((polar / 0.45) ** 2)))


def _runs_along(faces: np.ndarray, a: int, b: int) -> bool:
    """Whether some face has the directed edge a -> b."""
    return bool(((faces == a) & (np.roll(faces, -1, axis=1) == b)).any())


def _mirrored(half: _Half, lid: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> HeadMesh:
    """Both halves, joined at the midline."""
    vertices = np.concatenate(half.vertices)
    part, side = np.concatenate(half.part), np.concatenate(half.side)
    faces, directions = np.concatenate(half.faces), np.concatenate(half.directions)
    midline = np.flatnonzero(np.abs(vertices[:, 0]) < 1e-9)
    vertices[midline, 0] = 0.0
    other = np.setdiff1d(np.arange(len(vertices)), midline)
    mirror = np.arange(len(vertices))
    mirror[other] = len(vertices) + np.arange(len(other))
    flip = np.array([-1.0, 1.0, 1.0])
    lips = np.stack([np.concatenate([mirror[edge[:0:-1]], edge]) for edge in (upper, lower)])
    return HeadMesh(
        vertices=np.concatenate([vertices, vertices[other] * flip]),
        faces=np.concatenate([faces, mirror[faces][:, ::-1]]),
        part=np.concatenate([part, part[other]]),
        side=np.concatenate([side, side[other]]),
        directions=np.concatenate([directions, directions[other] * flip]),
        mirror=np.concatenate([mirror, other]),
        lid=np.stack([lid, mirror[lid]]),
        lips=lips,
    )


@functools.lru_cache(maxsize=2)
def make_mesh(seed: int) -> HeadMesh:
    """Build the average head, once per process (seconds); `seed` only scatters the fill between its feature lines."""
    layout = make_layout(np.random.default_rng(seed))
    skull = cast(layout.directions)
    faces = triangulate(layout.directions)
    faces = faces[~np.isin(faces, layout.eye).all(1)]
    faces, lower = _cut_mouth(layout, faces, skull)
    side = np.zeros(len(skull) + len(lower))
    side[layout.mouth[:-1]], side[lower] = 1, -1
    skin = sculpt(np.concatenate([skull, skull[layout.mouth[:-1]]]), side)
    directions = np.concatenate([layout.directions, layout.directions[layout.mouth[:-1]]])
    faces = flip_to_delaunay(faces, skin, directions)
    half = _Half()
    half.add(skin, SKIN, side, directions)
    half.faces.append(faces)
    corner = layout.mouth[-1:]
    upper, lower = layout.mouth, np.concatenate([lower, corner])
    rim = np.concatenate([upper, lower[-2::-1]])
    _add_mouth(half, rim if _runs_along(faces, rim[0], rim[1]) else rim[::-1], skin)
    lid = layout.eye if _runs_along(faces, layout.eye[0], layout.eye[1]) else np.roll(layout.eye[::-1], 1)
    _add_socket(half, lid, skin, layout.directions[lid])
    _add_eyeball(half)
    return _mirrored(half, layout.eye, upper, lower)
