"""Principal directions of random people, each exactly symmetric or exactly its own image with the sign changed.

A face and its mirror image are equally likely, so the people's symmetric and antisymmetric parts are uncorrelated and
have principal directions of their own. Everything is float64 and the order of the sums is fixed; what processors still
differ by is far below the grid on which the result is stored.
"""

from typing import NamedTuple

import numpy as np

from scripts.makehuman.mesh import HeadMesh

IMAGE = np.array([-1.0, 1.0, 1.0])
FACE_SHARE = 10.0
"""Weight of a square millimetre of the face against one of the rest of the skin."""
INNER_SHARE = 0.3
"""The same of eyes, teeth and tongue."""
FACE_BOX = ((-0.12, 0.06), -0.055)
"""Height over the eyes' centres from and to, depth in front of them from (metres)."""


class People(NamedTuple):
    """Random people's statistics."""

    mean: np.ndarray  # [V, 3] metres, exactly symmetric
    directions: np.ndarray  # [V, 3, N] metres per standard deviation, largest first
    face: np.ndarray  # [V] bool: the vertices that the measure holds up
    share: float  # of the population's variance that the directions hold


def principal_directions(mesh: HeadMesh, people: np.ndarray, template: np.ndarray, count: int) -> People:
    """Statistics of `people` [P, V, 3] metres, which are aligned in place; `template` [V, 3] says where the face is."""
    area = _vertex_areas(template, mesh.faces)
    face = _face(mesh, template)
    mean = _align(people, people.mean(0), area * face, mesh.mirror)
    measure = area * np.where(face, FACE_SHARE, np.where(mesh.part == "skin", 1.0, INNER_SHARE))
    half = mesh.n_middle + mesh.n_side
    root = np.sqrt(measure[:half] * np.where(np.arange(half) < mesh.n_middle, 1, 2) / measure.sum())[:, None]
    found = []
    for sign in (1.0, -1.0):
        parts = _parts(people, mean, mesh, sign)
        spread, directions = _principal(parts, root, count)
        found += [(value, sign, directions[:, k]) for k, value in enumerate(spread)]
        found.append((float((parts.reshape(-1, half, 3) * root).var(0).sum()), 0.0, np.zeros(0)))
    total = sum(value for value, sign, _ in found if sign == 0)
    best = sorted((item for item in found if item[1]), key=lambda item: -item[0])[:count]
    columns = [_whole(direction.reshape(half, 3), sign, mesh) for _, sign, direction in best]
    return People(mean, np.stack(columns, -1), face, sum(item[0] for item in best) / total)


def _parts(people: np.ndarray, mean: np.ndarray, mesh: HeadMesh, sign: float) -> np.ndarray:
    """[P, half * 3] symmetric (sign 1) or antisymmetric (-1) part of the offsets on middle and left."""
    half = mesh.n_middle + mesh.n_side
    images = people[:, mesh.mirror[:half]] * IMAGE
    return (0.5 * (people[:, :half] + sign * images) - (mean[:half] if sign > 0 else 0.0)).reshape(len(people), -1)


def _principal(parts: np.ndarray, root: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Variances [count] and directions [half * 3, count] per standard deviation of offsets [P, half * 3]."""
    weighted = parts * np.repeat(root.ravel(), 3)
    variance, vectors = np.linalg.eigh(weighted @ weighted.T / len(parts))  # snapshots: Sirovich 1987
    variance, vectors = variance[::-1][:count], vectors[:, ::-1][:, :count]
    directions = parts.T @ (vectors / np.sqrt(len(parts)))
    largest = np.abs(np.round(directions, 9)).argmax(0)
    return variance, directions * np.sign(directions[largest, np.arange(count)])


def _whole(half: np.ndarray, sign: float, mesh: HeadMesh) -> np.ndarray:
    """[V, 3] of a direction on middle and left; on the middle the part that an image takes away is exactly zero."""
    middle = half[: mesh.n_middle] * ([0, 1, 1] if sign > 0 else [1, 0, 0])
    left = half[mesh.n_middle :]
    return np.concatenate([middle, left, sign * left * IMAGE])


def _align(people: np.ndarray, mean: np.ndarray, weight: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Move each of `people` rigidly onto their mean [V, 3], in place; returns the mean, made symmetric."""
    weight = weight / weight.sum()
    for _ in range(3):
        target = mean - weight @ mean
        for person in people:
            person -= weight @ person
            u, _, vt = np.linalg.svd((person * weight[:, None]).T @ target)
            turn = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
            person[:] = person @ (u @ turn @ vt)
        mean = people.mean(0)
        mean = 0.5 * (mean + mean[mirror] * IMAGE)
    return mean


def _face(mesh: HeadMesh, template: np.ndarray) -> np.ndarray:
    eye = template[mesh.part == "eye"].mean(0)
    (low, high), depth = FACE_BOX
    offset = template - eye
    return (mesh.part == "skin") & (offset[:, 2] > depth) & (offset[:, 1] > low) & (offset[:, 1] < high)


def _vertex_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V] a third of the triangles around each vertex, square metres."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    third = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
    return sum(np.bincount(faces[:, k], third, len(vertices)) for k in range(3))
