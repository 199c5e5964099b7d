"""Exact distances from points to a grid surface, by Lagrange's search in an Embree tree of the triangles.

Embree works in float32: at head size the distances are right to about 1e-5 mm, CD to 1e-6 mm. The tests hold them
against libigl's, which are right to rounding and take about twice the time.
"""

import os
from functools import cache

import lagrange
import numpy as np

from mfnet.scoring.cylinder import GridSurface


def surface_distances(points: np.ndarray, surface: GridSurface) -> np.ndarray:
    """Distance [P] from each of `points` [P, 3] to the nearest point of `surface`, in its unit.

    The surface must have at least one quad.
    """
    _on_one_core()
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


@cache
def _on_one_core() -> None:
    """Have TBB, whose threads build Embree's trees and ask them, start for one core.

    It counts the cores that the process may use when it first works, and has no other switch here. With two threads an
    item takes as long as with one and twice the CPU time; several workers' threads wait for each other, four times it.
    """
    if not hasattr(os, "sched_setaffinity"):  # Linux's alone
        return
    main = os.getpid()  # the main thread, which TBB asks for, whichever one it is that works first
    allowed = os.sched_getaffinity(main)
    os.sched_setaffinity(main, {min(allowed)})
    try:
        mesh = lagrange.SurfaceMesh()
        mesh.vertices = np.eye(3)
        mesh.facets = np.array([[0, 1, 2]], np.uint32)
        caster = lagrange.raycasting.RayCaster()
        caster.add_mesh(mesh)
        caster.commit_updates()
        caster.closest_point(np.zeros((2, 3), np.float32))
    finally:
        os.sched_setaffinity(main, allowed)
