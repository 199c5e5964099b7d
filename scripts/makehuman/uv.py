"""The head's own texture layout: one island for face, scalp and neck, others for eyes, teeth and what lies inside.

The layout is made on the base mesh, so it does not depend on the people. The right half is the left's image:
u' = 1 - u.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mfnet.flame.makehuman import TEXEL
from scripts.makehuman.flatten import border_loops, flatten
from scripts.makehuman.mesh import HeadMesh, make_mesh
from scripts.makehuman.source import Source

CUT_BEHIND = 0.05
"""The skin is cut open along the middle behind this depth on the base mesh (metres): crown, back of the head, nape."""


class Box(NamedTuple):
    """Where an island goes: left, bottom, right, top in 0..1, aspect kept, centred."""

    left: float
    bottom: float
    right: float
    top: float


MAIN = Box(0.5, 0.215, 0.99, 0.99)
UPPER_TEETH = Box(0.5, 0.11, 0.64, 0.195)
LOWER_TEETH = Box(0.5, 0.01, 0.64, 0.095)
MOUTH = Box(0.65, 0.01, 0.72, 0.19)
TONGUE = Box(0.73, 0.07, 0.79, 0.19)
SOCKET = Box(0.735, 0.01, 0.785, 0.06)
EYE = Box(0.80, 0.01, 0.99, 0.20)
EYE_BEHIND = Box(0.93, 0.93, 0.99, 0.99)
TABLE = Path(__file__).with_name("uv.npz")


def make_uv(mesh: HeadMesh, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places [T, 2] in 0..1 (v up) and their faces [F, 3], in the order of the mesh's; `vertices` [V, 3] of the base.

    The rows of the right half's places follow the left's; those on the line u = 0.5 are shared.
    """
    half = len(mesh.faces) // 2
    faces = mesh.faces[:half]
    centre = vertices[(mesh.part == "eye") & (vertices[:, 0] > 0)].mean(0)
    behind = vertices[faces].mean(1)[:, 2] < centre[2]
    rooms = np.where((mesh.room[:half] == "eye") & behind, "eye_behind", mesh.room[:half])
    places, uv_faces, start = [], np.zeros((half, 3), int), 0
    for names, island, box in (
        (("face", "neck"), _skin, MAIN),
        (("upper_teeth",), _on_axis, UPPER_TEETH),
        (("lower_teeth",), _on_axis, LOWER_TEETH),
        (("mouth_inside",), _apart, MOUTH),
        (("tongue",), _apart, TONGUE),
        (("socket",), _apart, SOCKET),
        (("eye",), _eye_front, EYE),
        (("eye_behind",), _eye_behind, EYE_BEHIND),
    ):
        chosen = np.isin(rooms, names)
        used, local = np.unique(faces[chosen], return_inverse=True)
        local = local.reshape(-1, 3)
        origin = centre if "eye" in names[0] else 0.0
        plane, local = island(vertices[used] - origin, local, used < mesh.n_middle)
        places.append(_fitted(plane, box, on_axis=island in (_skin, _on_axis)))
        uv_faces[chosen] = local + start
        start += len(places[-1])
    return _mirrored(np.concatenate(places), uv_faces)


def _mirrored(left: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both halves' places and faces; the right half's faces have their corners reversed, as the mesh's have."""
    shared = left[:, 0] == 0.5
    image = np.arange(len(left))
    image[~shared] = len(left) + np.arange(int((~shared).sum()))
    right = left[~shared] * [-1, 1] + [1, 0]
    return np.concatenate([left, right]), np.concatenate([faces, image[faces][:, ::-1]])


def read_uv(mesh: HeadMesh) -> tuple[np.ndarray, np.ndarray]:
    """The layout as `make_uv` found it once: its many steps amplify what processors differ by, so the recipe keeps it.

    Raises ValueError where the table is of another mesh.
    """
    with np.load(TABLE) as table:
        left, faces = table["uv"] * TEXEL, table["faces"].astype(int)
    if len(faces) != len(mesh.faces) // 2:
        raise ValueError(f"{TABLE.name} is of another mesh: run python -m scripts.makehuman.uv WHEEL")
    return _mirrored(left, faces)


def main(argv: list[str] | None = None) -> None:
    """Make the layout anew and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel")
    source = Source(parser.parse_args(argv).wheel)
    mesh = make_mesh(source)
    uv, faces = make_uv(mesh, mesh.operator @ source.vertices)
    faces = faces[: len(faces) // 2]
    left = np.rint(uv[: faces.max() + 1] / TEXEL)
    np.savez_compressed(TABLE, uv=left.astype(np.int32), faces=faces.astype(np.uint16))


_Island = tuple[np.ndarray, np.ndarray]


def _skin(points: np.ndarray, faces: np.ndarray, middle: np.ndarray) -> _Island:
    line = _line(faces, middle & (points[:, 2] > CUT_BEHIND))
    return flatten(points, faces, line, texel_density(points[faces].mean(1))), faces


def _on_axis(points: np.ndarray, faces: np.ndarray, middle: np.ndarray) -> _Island:
    return flatten(points, faces, _line(faces, middle), np.ones(len(faces))), faces


def _apart(points: np.ndarray, faces: np.ndarray, middle: np.ndarray) -> _Island:
    return flatten(points, faces, np.zeros(0, int), np.ones(len(faces))), faces


def _eye_front(points: np.ndarray, faces: np.ndarray, middle: np.ndarray) -> _Island:
    return _azimuthal(points), faces


def _eye_behind(points: np.ndarray, faces: np.ndarray, middle: np.ndarray) -> _Island:
    return _azimuthal(points * [-1, 1, -1]), faces


def _azimuthal(points: np.ndarray) -> np.ndarray:
    """A cap of a sphere about z, equidistant from its middle; points about x = y = 0, z forward."""
    planar = np.hypot(points[:, 0], points[:, 1])
    return points[:, :2] * (np.arctan2(planar, points[:, 2]) / np.maximum(planar, 1e-9))[:, None]


def texel_density(points: np.ndarray) -> np.ndarray:
    """Wanted texels per metre of places [N, 3] on the base mesh, 1 on the face: less on scalp, ears and neck."""
    eye_height, eye_depth = 0.728, 0.1245
    back = _smooth(eye_depth - points[:, 2], 0.045, 0.10)
    top = _smooth(points[:, 1] - eye_height, 0.05, 0.09)
    neck = _smooth(eye_height - points[:, 1], 0.095, 0.125)
    return 1 - 0.65 * (1 - (1 - back) * (1 - 0.6 * top) * (1 - 0.7 * neck))


def _smooth(x: np.ndarray, start: float, end: float) -> np.ndarray:
    t = np.clip((x - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def _line(faces: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The `chosen` vertices of the longest border, from low to high: against its direction, from its longest gap."""
    loop = max(border_loops(faces), key=len)[::-1]
    inside = np.flatnonzero(chosen[loop])
    gaps = np.diff(np.r_[inside, inside[0] + len(loop)])
    return np.array(loop)[np.roll(inside, -int(gaps.argmax()) - 1)]


def _fitted(plane: np.ndarray, box: Box, on_axis: bool) -> np.ndarray:
    """`plane` scaled into `box` at its own aspect; with `on_axis`, u = 0 stays exactly on the box's left side."""
    low, size = plane.min(0), np.ptp(plane, axis=0)
    room = np.array([box.right - box.left, box.top - box.bottom])
    scale = float((room / size).min())
    rest = (room - scale * size) / 2
    placed = np.array([box.left, box.bottom]) + scale * (plane - low) + rest * [not on_axis, 1]
    if on_axis:
        placed[np.abs(plane[:, 0] - low[0]) < 1e-12, 0] = box.left
    return placed


def texels_per_mm(
    vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray, uv_faces: np.ndarray, size: int = 1024
) -> np.ndarray:
    """[F, 2] texels per millimetre of each triangle, most and least stretched direction (singular values)."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    along, across = b - a, c - a
    x = np.linalg.norm(along, axis=1)
    p, q = (along * across).sum(1) / x, np.linalg.norm(np.cross(along, across), axis=1) / x
    surface = np.stack([np.stack([x, p], -1), np.stack([np.zeros_like(x), q], -1)], 1)
    plane = np.stack([uv[uv_faces[:, k]] - uv[uv_faces[:, 0]] for k in (1, 2)], -1)
    return np.linalg.svd(plane @ np.linalg.inv(surface), compute_uv=False) * size / 1e3


if __name__ == "__main__":
    main()
