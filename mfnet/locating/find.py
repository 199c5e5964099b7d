"""The landmarks of any head in FLAME's format: both embeddings, found by looking at drawn pictures of it.

A head that has landmarks keeps its 68 and gets the 478. One without is drawn twice: first as it is, of one colour but
for its eyeballs, which tells roughly where the face is; then with the skins that can be painted once that is known.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mfnet.errors import InputError
from mfnet.flame import Flame
from mfnet.flame.dense import N_DENSE, YAW_EDGES, DenseEmbedding
from mfnet.flame.head import HeadArrays
from mfnet.flame.masks import derive_masks
from mfnet.locating.canonical import N_CANONICAL, warped
from mfnet.locating.contour import embedding_68
from mfnet.locating.layout import cylindrical_layout
from mfnet.locating.look import Play, Sightings, look
from mfnet.locating.solve import carry_back, shown_faces, solve
from mfnet.locating.surface import SurfacePoints, face_normals, nearest
from mfnet.render import interpolate, uv_layout
from mfnet.synthetic.atlas import ambient_occlusion
from mfnet.synthetic.subjects import expression_scale, texture_pool

PEOPLE = 16
"""Random people that are drawn."""
SKINS, TEXELS = 10, 256
"""Painted skins, and their sides, pixels."""
COEFFICIENTS = (100, 50)
"""Of identity and expression that random people differ in."""
LEAST_FOUND = 0.25
"""Share of the pictures in which a face must be found."""
LEAST_KNOWN = 0.8
"""Share of the points that pictures must show."""
FLOOR = 0.006
"""Least standard deviation, ndc: half a pixel of the network's own input."""
JAW = 4.0
"""Scale of the opening of painted people's jaws, degrees."""
PLAIN = Play(0.0, 8.0)
"""Nothing shows the closed lips of a plain head."""
SKIN, WHITE, DARK = (196, 150, 128), (235, 232, 228), (50, 38, 30)
SKY = 0.03
"""Share of the sky below which a vertex is hidden."""
SHADE = 0.9
"""How much darker what no sky reaches is."""
IRIS = 0.45
"""Radius of the dark disc over the eyeball's."""
EYE_JOINTS = (3, 4)


@dataclass(frozen=True)
class Located:
    """A head with its landmarks, and how they were found."""

    head: HeadArrays
    """With `landmarks`, `dense`, UV and masks."""
    found_68: bool
    """Whether the 68 were found too, not the head's own."""
    found_layout: bool
    """Whether the texture layout was made (`cylindrical_layout`)."""
    drawn: int
    """Pictures drawn in the last look."""
    seen: int
    """Pictures of those in which the face was found."""
    off_mm: float
    """Median distance of the 468 skin points from a smooth warp of MediaPipe's mean face, mm."""
    resolved: int
    """Points that did not fit the warp, and were looked for again near it."""


def locate(head: HeadArrays, seed: int = 0, people: int = PEOPLE) -> Located:
    """Find the landmarks of a head.

    Raises InputError where MediaPipe's assets are missing, and where it sees too few faces in the pictures: then the
    head is none, or does not look along +z with y up, in metres.
    """
    found_68, found_layout = head.landmarks is None, head.uv is None
    if head.uv is None:
        uv, uv_faces = cylindrical_layout(head.v_template, head.faces, _hidden(head))
        head = replace(head, uv=uv, uv_faces=uv_faces)
    if head.landmarks is None:
        flame = _flame(head)
        rough, _, _ = _embedded(look(flame, plain_skin(flame)[None], people, PLAIN, seed), head)
        head = _with_68(head, rough)
    if "face" not in head.masks:
        head = replace(head, masks=head.masks | derive_masks(head))
    flame = _flame(head)
    skins = texture_pool(flame, SKINS, TEXELS, seed)
    seen = look(flame, skins, people, Play(expression_scale(flame), JAW), seed + 1)
    points, off, resolved = _embedded(seen, head)
    if found_68:
        head = replace(_with_68(head, points), masks={})
        head = replace(head, masks=derive_masks(head))
    head = replace(head, dense=DenseEmbedding(points.faces, points.weights, noise(seen, points, head.faces)))
    return Located(head, found_68, found_layout, seen.drawn, len(seen.mesh), 1000 * off, resolved)


def _flame(head: HeadArrays) -> Flame:
    stored = (head.n_shape_total, head.n_expression_total)
    return Flame(head, *(min(pair) for pair in zip(COEFFICIENTS, stored, strict=True)))


def _hidden(head: HeadArrays) -> np.ndarray:
    """Which triangles next to no sky reaches: bool [F]."""
    vertices, faces = torch.tensor(head.v_template, dtype=torch.float32)[None], torch.tensor(head.faces)
    return (ambient_occlusion(vertices, faces) < SKY)[faces].all(1).numpy()


def _with_68(head: HeadArrays, points: SurfacePoints) -> HeadArrays:
    vertices = head.v_template.astype(np.float64)
    places = points.on(vertices, head.faces)
    return replace(head, landmarks=embedding_68(places, vertices, head.faces, outer_faces(head)))


def _embedded(seen: Sightings, head: HeadArrays) -> tuple[SurfacePoints, float, int]:
    """The 478 points, their median distance from the warped mean face (metres), and how many were solved again."""
    if len(seen.mesh) < LEAST_FOUND * seen.drawn:
        raise InputError(
            f"head model: a face is seen in {len(seen.mesh)} of {seen.drawn} drawn pictures; is it a head in metres "
            "that looks along +z, y up?"
        )
    vertices, faces = head.v_template.astype(np.float64), head.faces
    back = carry_back(seen, vertices, faces)
    known = np.isfinite(back[:, 0])
    if known.mean() < LEAST_KNOWN:
        raise InputError(f"head model: only {known.sum()} of the {N_DENSE} points of a face are seen in drawn pictures")
    bent, _ = warped(back[:N_CANONICAL])
    starts = back.copy()
    starts[:N_CANONICAL][~known[:N_CANONICAL]] = bent[~known[:N_CANONICAL]]
    starts[~np.isfinite(starts[:, 0])] = np.nanmean(starts[N_CANONICAL:], 0)
    shown = shown_faces(seen, len(faces))
    points = solve(seen, np.arange(N_DENSE), starts, vertices, faces, shown)
    bent, inlier = warped(points.on(vertices, faces)[:N_CANONICAL])
    outliers = np.flatnonzero(~inlier)
    if len(outliers):
        outer = outer_faces(head)
        skin = np.zeros(len(faces), bool)
        skin[outer] = True
        near = nearest(bent[outliers], vertices, faces, outer)
        again = solve(seen, outliers, near.on(vertices, faces), vertices, faces, skin & shown)
        points.faces[outliers], points.weights[outliers] = again
    off = np.linalg.norm(points.on(vertices, faces)[:N_CANONICAL] - bent, axis=1)
    return points, float(np.median(off)), len(outliers)


def outer_faces(head: HeadArrays) -> np.ndarray:
    """Indices of the triangles that look outwards from the middle of the head and not backwards: no lining of mouth or
    nostrils, no nape; eyeballs neither."""
    vertices = head.v_template.astype(np.float64)
    normal = face_normals(vertices, head.faces)
    centre = vertices[head.faces].mean(1)
    middle = (vertices.min(0) + vertices.max(0)) / 2
    eyeball = (head.weights[:, EYE_JOINTS].sum(1) > 0.5)[head.faces].any(1)
    outwards = (normal * (centre - middle)).sum(1) > 0
    return np.flatnonzero(outwards & (normal[:, 2] > -0.5) & ~eyeball & (centre[:, 2] > middle[2] - 0.02))


def plain_skin(flame: Flame) -> Tensor:
    """A skin [3, T, T] uint8 of one colour, darker in folds; eyeballs are white with a dark disc."""
    with torch.no_grad():
        zeros = (torch.zeros(1, count) for count in (flame.n_shape, flame.n_expression, 3))
        vertices = flame(*zeros).vertices[0]
    open_air = ambient_occlusion(vertices[None], flame.faces)[:, None].clamp(0, 1)
    colour = torch.tensor(SKIN, dtype=torch.float32) * (1 - SHADE * (1 - open_air))
    for joint in EYE_JOINTS:
        ball = flame.weights[:, joint] > 0.5
        if not bool(ball.any()):
            continue
        low, high = vertices[ball].amin(0), vertices[ball].amax(0)
        off = (vertices - (low + high) / 2)[:, :2].norm(dim=1)
        colour[ball] = torch.tensor(WHITE, dtype=torch.float32)
        colour[ball & (off < IRIS * (high - low)[0] / 2)] = torch.tensor(DARK, dtype=torch.float32)
    layout = uv_layout(flame.faces, *flame.uv_map, TEXELS)
    texels = interpolate(colour, layout.raster, flame.faces)[0]
    shown = (layout.raster.face_id[0] > 0)[..., None]
    skin = torch.where(shown, texels, texels.new_tensor(SKIN))
    return skin.round().to(torch.uint8).permute(2, 0, 1)


def noise(seen: Sightings, points: SurfacePoints, faces: np.ndarray) -> np.ndarray:
    """`DenseEmbedding.sigma` [5, 478] of points on a head with triangles [F, 3]."""
    off = (seen.mesh - points.on(seen.vertices, faces)) / seen.half[:, None, None]
    column = np.searchsorted(YAW_EDGES, seen.yaw)
    rows = []
    for number in range(len(YAW_EDGES) + 1):
        here = off[column == number] if (column == number).any() else off
        rows.append(np.sqrt(np.minimum(here**2, 0.15**2).mean((0, 2))).clip(FLOOR))
    return np.stack(rows).astype(np.float32)
