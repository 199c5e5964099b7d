"""The head's mesh: cut out of MakeHuman's body, its skull, eyes and teeth made finer, its two halves exact images.

Every vertex is a fixed mixture of base vertices, so that shape targets and face units carry over linearly. Only the
left half (x >= 0) is built; the right half has its mixtures and faces mirrored.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from scripts.makehuman.source import Source
from scripts.makehuman.subdivision import Subdivided, catmull_clark, split_quads

NECK_CUT = 0.602
"""Height on the base mesh (metres) of the plane at which the neck ends."""
SNAP = 0.35
"""A vertex nearer to the plane than this share of a cut edge moves onto it: no slivers at the border."""
LONGEST = 0.0115
"""Quads of the skin with a longer edge (metres) are subdivided: skull and neck, whose outline shows facets."""
_HALF_WIDTH = 0.15  # of the box around head and neck, metres
APART = ("helper-l-eye", "helper-upper-teeth", "helper-lower-teeth", "helper-tongue")
"""Parts beside the skin, the eye of the left side alone. Lashes, hair and clothes are dropped."""
_NAMES = {"helper-l-eye": "eye", "helper-upper-teeth": "upper_teeth", "helper-lower-teeth": "lower_teeth"}


@dataclass(frozen=True)
class HeadMesh:
    """Topology of the head: V vertices in the order middle, left, right; F faces, the left half's first."""

    operator: sparse.csr_matrix
    """[V, V_base] mixtures."""
    faces: np.ndarray
    """[F, 3]; face F/2 + i is the image of face i, corners reversed."""
    n_middle: int
    """Vertices 0 .. n_middle - 1 have x = 0."""
    part: np.ndarray
    """[V] `skin`, `eye`, `upper_teeth`, `lower_teeth` or `tongue`."""
    room: np.ndarray
    """[F] of the skin's faces `face`, `neck`, `mouth_inside` or `socket`; of others their part."""

    @property
    def n_side(self) -> int:
        """Vertices of each side, the middle's not counted."""
        return (len(self.part) - self.n_middle) // 2

    @property
    def mirror(self) -> np.ndarray:
        """[V] the partner of each vertex."""
        middle, side = self.n_middle, self.n_side
        left = np.arange(middle, middle + side)
        return np.concatenate([np.arange(middle), left + side, left])


def make_mesh(source: Source) -> HeadMesh:
    """The head's topology from the base mesh."""
    operators, faces, rooms, parts, start = [], [], [], [], 0
    for operator, part_faces, room, part in [_skin(source), *(_apart(source, name) for name in APART)]:
        operators.append(operator)
        faces.append(part_faces + start)
        rooms.append(room)
        parts.append(np.full(operator.shape[0], part))
        start += operator.shape[0]
    return _both_sides(
        sparse.vstack(operators).tocsr(), np.concatenate(faces), np.concatenate(rooms), np.concatenate(parts), source
    )


def _both_sides(
    operator: sparse.csr_matrix, faces: np.ndarray, room: np.ndarray, part: np.ndarray, source: Source
) -> HeadMesh:
    """Sort the left half's vertices into middle and left and append the right."""
    swap = sparse.identity(len(source.vertices)).tocsr()[source.mirror]
    middle = (operator @ source.vertices)[:, 0] < 1e-9
    order = np.concatenate([np.flatnonzero(middle), np.flatnonzero(~middle)])
    place = np.argsort(order)
    n, side = int(middle.sum()), int((~middle).sum())
    operator = operator[order]
    centre = 0.5 * (operator[:n] + operator[:n] @ swap)
    left = place[faces]
    right = np.where(left < n, left, left + side)[:, ::-1]
    return HeadMesh(
        sparse.vstack([centre, operator[n:], operator[n:] @ swap]).tocsr(),
        np.concatenate([left, right]),
        n,
        np.concatenate([part[order], part[order[n:]]]),
        np.concatenate([room, room]),
    )


_Part = tuple[sparse.csr_matrix, np.ndarray, np.ndarray, str]


def _apart(source: Source, name: str) -> _Part:
    """Eye, teeth or tongue: the left half's mixtures, triangles, rooms and the part's name."""
    quads = source.quads_of(name)
    used, local = np.unique(quads, return_inverse=True)
    local = local.reshape(quads.shape)
    pick = sparse.identity(len(source.vertices)).tocsr()[used]
    part = _NAMES.get(name, "tongue")
    if part != "tongue":
        step = catmull_clark(local, len(used))
        fine = _on_sphere(step.points, local, step.edges, source.vertices[used]) if part == "eye" else step.points
        pick, local = fine @ pick, split_quads(local, step, len(used))
    faces = _left_faces(local, pick @ source.vertices)
    kept, faces = np.unique(faces, return_inverse=True)
    faces = faces.reshape(-1, 3)
    return pick[kept], faces, np.full(len(faces), part), part


def _on_sphere(
    points: sparse.csr_matrix, quads: np.ndarray, edges: np.ndarray, vertices: np.ndarray
) -> sparse.csr_matrix:
    """Old vertices stay; middles of edges and quads move out to the sphere of the others, which the eyeball is."""
    n = len(vertices)
    half = sparse.csr_matrix((np.full(edges.size, 0.5), (np.repeat(np.arange(len(edges)), 2), edges.ravel())), None)
    quarter = sparse.csr_matrix((np.full(quads.size, 0.25), (np.repeat(np.arange(len(quads)), 4), quads.ravel())))
    middles = sparse.vstack([half, quarter]).tocsr()
    centre = sparse.csr_matrix(np.full((1, n), 1 / n))
    offset = middles - sparse.vstack([centre] * middles.shape[0])
    radius = np.linalg.norm(vertices - vertices.mean(0), axis=1).mean()
    out = radius / np.linalg.norm(offset @ vertices, axis=1)
    moved = sparse.diags(out) @ offset + sparse.vstack([centre] * middles.shape[0])
    return sparse.vstack([sparse.identity(n), moved]).tocsr()


def _skin(source: Source) -> _Part:
    """Head and neck: the left half's mixtures, triangles, rooms, `skin`."""
    v = source.vertices
    box = (v[:, 1] > NECK_CUT - 0.045) & (np.abs(v[:, 0]) < _HALF_WIDTH)
    chosen = (source.groups == "body") & box[source.quads].all(1)
    used, quads = np.unique(source.quads[chosen], return_inverse=True)
    quads = quads.reshape(-1, 4)
    island = _islands(source.quad_uv[chosen], quads)
    points = v[used]
    names = _name_islands(island, points, quads)
    step = catmull_clark(quads, len(used))
    left = np.flatnonzero((points[quads][:, :, 0] >= 0).all(1))
    sides = np.linalg.norm(np.diff(points[quads[:, [0, 1, 2, 3, 0]]], axis=1), axis=2)
    coarse = (sides.max(1) > LONGEST) & np.isin(names[island], ("face", "neck"))
    operator, faces, owner = _refined(quads, step, len(used), left, coarse)
    operator = operator @ sparse.identity(len(v)).tocsr()[used]
    operator, faces, owner = _cut(operator, faces, owner, v)
    return operator, faces, names[island[owner]], "skin"


def _refined(
    quads: np.ndarray, step: Subdivided, count: int, left: np.ndarray, coarse: np.ndarray
) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
    """Mixtures of all points, triangles of the left half, the quad of each; `coarse` [Q] quads are cut into four.

    A quad beside a coarse one gets the middles of the shared edges too. Vertices amid coarse quads move as Catmull and
    Clark have it, all others stay.
    """
    split = np.zeros(len(step.edges), bool)
    split[step.quad_edges[left[coarse[left]]]] = True
    amid = np.ones(count, bool)
    amid[quads[left[~coarse[left]]]] = False
    keep = sparse.diags((~amid).astype(float)) @ sparse.identity(count, format="csr")
    moved = sparse.diags(amid.astype(float)) @ step.points[:count]
    operator = sparse.vstack([keep + moved, step.points[count:]]).tocsr()
    faces, owner = [], []
    for index in left:
        quad, edges = quads[index], step.quad_edges[index]
        if coarse[index]:
            centre = count + len(step.edges) + index
            ring = [[quad[k], count + edges[k], centre, count + edges[k - 1]] for k in range(4)]
            made = [triangle for four in ring for triangle in _two(four)]
        else:
            pairs = [(quad[k], count + edges[k]) for k in range(4)]
            ring = [
                point for corner, middle in pairs for point in ([corner, middle] if split[middle - count] else [corner])
            ]
            made = _fan(ring, count)
        faces += made
        owner += [index] * len(made)
    return operator, np.array(faces), np.array(owner)


def _two(quad: list[int]) -> list[tuple[int, int, int]]:
    a, b, c, d = quad
    return [(a, b, c), (a, c, d)]


def _fan(polygon: list[int], count: int) -> list[tuple[int, int, int]]:
    """Triangles of a quad with up to four middles (`count` and above) on its edges, around the first of them."""
    if len(polygon) == 4:
        return _two(polygon)
    start = next(k for k, point in enumerate(polygon) if point >= count)
    turned = polygon[start:] + polygon[:start]
    return [(turned[0], turned[k], turned[k + 1]) for k in range(1, len(turned) - 1)]


def _left_faces(quads: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Triangles [N, 3] of the quads with x >= 0."""
    left = quads[(points[quads][:, :, 0] > -1e-9).all(1)]
    return np.array([triangle for quad in left.tolist() for triangle in _two(quad)])


def _islands(places: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """[Q] island of each quad in MakeHuman's layout `places` [Q, 4, 2]: they part face, neck, mouth and sockets."""
    corners = np.concatenate([quads[..., None], np.round(places * 1e5)], -1).reshape(-1, 3)
    ids = np.unique(corners, axis=0, return_inverse=True)[1].reshape(-1, 4)
    links = np.stack([ids, np.roll(ids, -1, 1)], -1).reshape(-1, 2).T
    n = int(ids.max()) + 1
    return connected_components(sparse.csr_matrix((np.ones(links.shape[1]), links), (n, n)), False)[1][ids[:, 0]]


def _name_islands(island: np.ndarray, points: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """[islands] names: the largest is the face, the lowest the neck, one in the middle the mouth, others sockets."""
    centres = points[quads].mean(1)
    names = np.full(island.max() + 1, "socket", dtype="<U12")
    height = np.array([centres[island == k, 1].mean() for k in range(len(names))])
    sideways = np.array([abs(centres[island == k, 0].mean()) for k in range(len(names))])
    names[sideways < 0.01] = "mouth_inside"
    names[height.argmin()] = "neck"
    names[np.bincount(island).argmax()] = "face"
    return names


def _cut(
    operator: sparse.csr_matrix, faces: np.ndarray, owner: np.ndarray, vertices: np.ndarray
) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
    """Cut triangles [N, 3] at the plane y = NECK_CUT of the base mesh and keep the largest piece above.

    A new vertex is a fixed mixture of its edge's ends. Returns mixtures, triangles and their quads.
    """
    height = (operator @ vertices)[:, 1] - NECK_CUT
    operator, height = _snapped(operator, height, faces)
    made: dict[tuple[int, int], int] = {}
    triangles, owners = [], []
    for face, quad in zip(faces.tolist(), owner.tolist(), strict=True):
        polygon: list[int] = []
        for a, b in zip(face, [*face[1:], face[0]], strict=True):
            if height[a] >= 0:
                polygon.append(a)
            if height[a] * height[b] < 0:
                polygon.append(made.setdefault((min(a, b), max(a, b)), operator.shape[0] + len(made)))
        for k in range(1, len(polygon) - 1):
            triangles.append((polygon[0], polygon[k], polygon[k + 1]))
            owners.append(quad)
    operator = sparse.vstack([operator, _mixtures(operator, height, np.array(list(made)))]).tocsr()
    height = np.concatenate([height, np.zeros(len(made))])
    triangles, owners = np.array(triangles), np.array(owners)
    solid = height[triangles].max(1) > 0
    triangles, owners = triangles[solid], owners[solid]
    links = np.concatenate([triangles[:, :2], triangles[:, 1:]]).T
    n = operator.shape[0]
    piece = connected_components(sparse.csr_matrix((np.ones(links.shape[1]), links), (n, n)), False)[1][triangles[:, 0]]
    largest = piece == np.bincount(piece).argmax()
    kept, triangles = np.unique(triangles[largest], return_inverse=True)
    return operator[kept], triangles.reshape(-1, 3), owners[largest]


def _snapped(
    operator: sparse.csr_matrix, height: np.ndarray, faces: np.ndarray
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Move vertices that lie near the plane onto it, along the edge that takes them there soonest."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    edges = edges[height[edges[:, 0]] * height[edges[:, 1]] < 0]
    share = height[edges[:, 0]] / (height[edges[:, 0]] - height[edges[:, 1]])
    edges = edges[np.lexsort((edges[:, 1], np.round(share, 9), edges[:, 0]))]
    edges = edges[np.unique(edges[:, 0], return_index=True)[1]]
    share = height[edges[:, 0]] / (height[edges[:, 0]] - height[edges[:, 1]])
    edges = edges[share < SNAP]
    keep = np.ones(len(height))
    keep[edges[:, 0]] = 0
    place = sparse.csr_matrix((np.ones(len(edges)), (edges[:, 0], np.arange(len(edges)))), (len(height), len(edges)))
    return (sparse.diags(keep) @ operator + place @ _mixtures(operator, height, edges)).tocsr(), height * keep


def _mixtures(operator: sparse.csr_matrix, height: np.ndarray, edges: np.ndarray) -> sparse.csr_matrix:
    """Rows of the points at which `edges` [N, 2] pass the plane."""
    a, b = edges.T
    share = height[a] / (height[a] - height[b])
    return sparse.diags(1 - share) @ operator[a] + sparse.diags(share) @ operator[b]
