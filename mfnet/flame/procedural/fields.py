"""Smooth displacement fields over the head, written as tables of bumps, and how the eyes follow them rigidly."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mfnet.flame.procedural.anatomy import EYE, smoothstep
from mfnet.flame.procedural.topology import EYEBALL, SOCKET, HeadMesh

FLIP = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Bump:
    """A Gaussian of displacement: `move` (mm) at `centre` (metres), fading with `width` (metres, one or per axis)."""

    centre: tuple[float, float, float]
    width: float | tuple[float, float, float]
    move: tuple[float, float, float]
    lip: int = 0
    """+1: only what stays with the upper jaw, -1: only what follows the lower one, 0: both."""

    def evaluate(self, points: np.ndarray, jaw: np.ndarray) -> np.ndarray:
        """Displacements [N, 3] in metres at points [N, 3] that follow the jaw by `jaw` [N]."""
        squared = (((points - np.array(self.centre)) / np.array(self.width)) ** 2).sum(-1)
        share = np.exp(-0.5 * squared) * (1.0, 1.0 - jaw, jaw)[self.lip]
        return 1e-3 * share[:, None] * np.array(self.move)


def both_sides(bumps: list[Bump], points: np.ndarray, jaw: np.ndarray, sign: float = 1.0) -> np.ndarray:
    """Sum of the bumps and, off the midline, of `sign` times their mirror images: [N, 3]."""
    total = np.zeros_like(points)
    for bump in bumps:
        total += bump.evaluate(points, jaw)
        if bump.centre[0] != 0.0:
            total += sign * FLIP * bump.evaluate(points * FLIP, jaw)
        elif sign < 0.0:
            raise ValueError(f"a bump on the midline has no odd twin: {bump}")
    return total


def carry_eyes(field: Callable[[np.ndarray, np.ndarray], np.ndarray], mesh: HeadMesh, jaw: np.ndarray) -> np.ndarray:
    """`field(points, jaw) -> [N, 3]` on the mesh, eyeballs, sockets and lids moving rigidly with the orbit: [V, 3]."""
    p = mesh.vertices
    moved = field(p, jaw)
    for sign in (1.0, -1.0):
        centre = EYE * np.array([sign, 1.0, 1.0])
        carried = field(centre[None] + np.array([[0.0, 0.0, 0.010]]), np.zeros(1))
        offset = (p - centre) / np.array([1.15, 0.85, 1.0])
        near = 1.0 - smoothstep(np.sqrt((offset**2).sum(-1)), 0.0150, 0.0260)
        near[((mesh.part == EYEBALL) | (mesh.part == SOCKET)) & (p[:, 0] * sign > 0.0)] = 1.0
        moved = moved + near[:, None] * (carried - moved)
    return moved
