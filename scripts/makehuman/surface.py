"""Closest points, openness and rigid alignment on triangle meshes, for the calibration and its measurement."""

from typing import NamedTuple

import lagrange
import numpy as np

_SKY = [(yaw, pitch) for yaw in range(-180, 180, 30) for pitch in (-50, -25, 0, 25, 60)]  # degrees
_DEPTH_TOLERANCE = 3e-4  # metres in front of a vertex that do not hide it: its own facets
_FAR = 0.5  # metres from which the rays start


class Closest(NamedTuple):
    """Points of a surface nearest to P queries."""

    corners: np.ndarray  # [P, 3] vertices
    weights: np.ndarray  # [P, 3] barycentric
    distance: np.ndarray  # [P] metres

    def mix(self, field: np.ndarray) -> np.ndarray:
        """A field of the surface's vertices [..., V, C] at the points: [..., P, C]."""
        return np.einsum("...pvc,pv->...pc", field[..., self.corners, :], self.weights)


class Surface:
    """A triangle mesh that answers which of its points is nearest (Embree, float32: right to about 1e-8 m)."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        mesh = lagrange.SurfaceMesh()
        mesh.vertices = vertices.astype(np.float32)
        mesh.facets = faces.astype(np.uint32)
        self._caster = lagrange.raycasting.RayCaster(build_quality=lagrange.raycasting.BuildQuality.Low)
        self._caster.add_mesh(mesh)
        self._caster.commit_updates()
        self._faces = faces

    def closest(self, points: np.ndarray) -> Closest:
        """The surface's points nearest to `points` [P, 3], P > 1."""
        hits = self._caster.closest_point(points.astype(np.float32))
        return self._places(hits, np.array(hits.distance, float))

    def before(self, points: np.ndarray) -> Closest:
        """The foremost points of the surface (along z) at the `points` [P, 3]; all must have some.

        The distance is positive where the surface lies before the point, negative behind it.
        """
        rays = np.tile([0.0, 0.0, -1.0], (len(points), 1)).astype(np.float32)
        hits = self._caster.cast((points + np.array([0, 0, _FAR])).astype(np.float32), rays)
        return self._places(hits, _FAR - np.array(hits.ray_depth, float))

    def _places(self, hits, distance: np.ndarray) -> Closest:
        second = np.array(hits.barycentric_coord, float)
        weights = np.concatenate([1 - second.sum(1, keepdims=True), second], axis=1)
        return Closest(self._faces[np.array(hits.facet_index, int)], weights, distance)

    def sees(self, points: np.ndarray, eye: np.ndarray) -> np.ndarray:
        """[P] whether a far eye in the direction `eye` [3] (unit) sees each of the surface's `points` [P, 3]."""
        rays = np.tile(-eye, (len(points), 1)).astype(np.float32)
        hits = self._caster.cast((points + _FAR * eye).astype(np.float32), rays)
        return np.array(hits.ray_depth) > _FAR - _DEPTH_TOLERANCE


def openness(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V] share of the sky above each vertex, weighted by the cosine, that nothing hides: 0 inside mouth and nose."""
    surface, normals = Surface(vertices, faces), vertex_normals(vertices, faces)
    seen, sky = np.zeros(len(vertices)), np.zeros(len(vertices))
    for yaw, pitch in np.deg2rad(_SKY):
        eye = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        share = np.maximum(normals @ eye, 0) * np.cos(pitch)
        sky += share
        seen += share * surface.sees(vertices, eye)
    return seen / np.maximum(sky, 1e-9)


def rigid(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [3, 3] and shift [3] with ``source @ rotation + shift`` nearest to target [P, 3]; no scale."""
    middle, goal = source.mean(0), target.mean(0)
    u, _, vt = np.linalg.svd((source - middle).T @ (target - goal))
    rotation = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return rotation, goal - middle @ rotation


def rigid_motions(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """[6, P, 3] the small motions of points [P, 3]: three shifts and three turns about `centre` [3]."""
    shifts = [np.broadcast_to(axis, points.shape) for axis in np.eye(3)]
    return np.stack([*shifts, *(np.cross(axis, points - centre) for axis in np.eye(3))])


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals [V, 3], weighted by area."""
    normals = np.zeros_like(vertices)
    np.add.at(normals, faces, _crosses(vertices, faces)[:, None])
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def vertex_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V] a third of the area of the triangles about each vertex, square metres."""
    areas = np.zeros(len(vertices))
    np.add.at(areas, faces, np.linalg.norm(_crosses(vertices, faces), axis=1)[:, None] / 6)
    return areas


def _crosses(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)
