"""Exact distances from points to a grid surface, by Lagrange's search in an Embree tree of the triangles.

Embree works in float32: at head size the distances are right to about 1e-5 mm, CD to 1e-6 mm. The tests hold them
against libigl's, which are right to rounding and take about twice the time.
"""

import lagrange
import numpy as np

from mfnet.scoring.cylinder import GridSurface


def surface_distances(points: np.ndarray, surface: GridSurface) -> np.ndarray:
    """Distance [P] from each of `points` [P, 3] to the nearest point of `surface`, in its unit.

    The surface must have at least one quad.
    """
    used = surface.used
    mesh = lagrange.SurfaceMesh()
    # the stub names float64 alone; the setter takes float32 too
    mesh.vertices = surface.vertices[used].astype(np.float32)  # pyright: ignore[reportAttributeAccessIssue]
    mesh.facets = (np.cumsum(used) - 1).astype(np.uint32)[surface.faces]
    # a tree serves one item only, so a quick build pays
    caster = lagrange.raycasting.RayCaster(build_quality=lagrange.raycasting.BuildQuality.Low)
    caster.add_mesh(mesh)
    caster.commit_updates()
    hits = caster.closest_point(points.astype(np.float32))
    assert hits is not None  # it is None only for a single point, not for an array of them
    return np.array(hits.distance, np.float64)
