"""How well heads span scanned people, and how much their random people vary.

    python -m scripts.makehuman.span --scans MODEL LANDMARKS [--wheel WHEEL] [HEAD.npz ...]

Held-out random people of a scan-derived head are fitted by each head's mean and first k directions: closest points,
rigid motion, no scale, and a prior N(0, 1) on the coefficients. The error is the mean distance from the scan's seen
face vertices to the fitted skin. `--wheel` measures the people of `people.npz` before they are a head.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mfnet.flame.masks import derive_masks
from mfnet.flame.readers import read_head
from scripts.makehuman.identity import principal_directions
from scripts.makehuman.mesh import make_mesh
from scripts.makehuman.people import read_directions, read_statistics
from scripts.makehuman.scans import Scans, read_scans
from scripts.makehuman.source import Source
from scripts.makehuman.surface import Surface, openness, rigid, vertex_normals

HELD_OUT, HELD_OUT_SEED = 12, 1000
WEAK, STRONG = 1e-6, 30e-6
"""Square metres of one vertex's error that weigh as much as a coefficient of 1; the strong prior is that of a fit to
photographs."""
STEPS = 25
_PEOPLE, _PEOPLE_SEED = 1000, 1
COMPONENTS = (1, 2, 3, 6, 11, 21, 31, 51, 71, 100)


class Spanning(NamedTuple):
    """A head as far as it is measured."""

    name: str
    mean: np.ndarray  # [V, 3] metres
    directions: np.ndarray  # [V, 3, N] metres per standard deviation
    faces: np.ndarray  # [F, 3]
    face: np.ndarray  # [V] bool: where spread is measured


class Fit(NamedTuple):
    """One person fitted."""

    distance: float  # mm, mean
    angle: float  # degrees between the scan's and the fit's normals, mean
    size: float  # root mean square of the coefficients


def fit_person(head: Spanning, outer: np.ndarray, scans: Scans, person: np.ndarray, k: int, prior: float) -> Fit:
    """Fit one scanned person [V', 3] by k directions; outer [F', 3] are the head's faces that are seen from outside."""
    seen = scans.seen_face
    target, normals = person[seen], vertex_normals(person, scans.faces)[seen]
    directions, coefficients = np.moveaxis(head.directions[:, :, :k], -1, 0), np.zeros(k)
    rotation, shift = _start(head, outer, target)
    for _ in range(STEPS):
        nearest = Surface(_shape(head, directions, coefficients), outer).closest(target @ rotation + shift)
        mean, rows = nearest.mix(head.mean), nearest.mix(directions).reshape(k, mean_size := 3 * len(target))
        for _ in range(2):
            wanted = (target @ rotation + shift - mean).reshape(mean_size)
            coefficients = np.linalg.solve(rows @ rows.T + prior * np.eye(k), rows @ wanted)
            rotation, shift = rigid(target, mean + (coefficients @ rows).reshape(-1, 3))
    vertices = _shape(head, directions, coefficients)
    nearest = Surface(vertices, outer).closest(target @ rotation + shift)
    cosine = (nearest.mix(vertex_normals(vertices, head.faces)) * (normals @ rotation)).sum(-1)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    size = float(np.sqrt((coefficients**2).mean())) if k else 0.0
    return Fit(float(1e3 * nearest.distance.mean()), float(angle.mean()), size)


def _shape(head: Spanning, directions: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    return head.mean + np.tensordot(coefficients, directions, 1)


def _start(head: Spanning, outer: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rigid motion of a scan's face onto the head's mean: boxes' fronts, then closest points."""
    front = head.mean[head.face]
    shift = (front.max(0) + front.min(0) - target.max(0) - target.min(0)) / 2
    shift[2] = front[:, 2].max() - target[:, 2].max()
    rotation, skin = np.eye(3), Surface(head.mean, outer)
    for _ in range(60):
        nearest = skin.closest(target @ rotation + shift)
        rotation, shift = rigid(target, nearest.mix(head.mean))
    return rotation, shift


def outer_faces(head: Spanning) -> np.ndarray:
    """[F', 3] the faces whose corners all see some of the sky."""
    return head.faces[(openness(head.mean, head.faces) > 0.02)[head.faces].all(1)]


def spread(head: Spanning) -> tuple[np.ndarray, np.ndarray]:
    """3-D standard deviation of each face vertex, and root mean square of each direction over the face, mm."""
    squares = 1e6 * head.directions[head.face] ** 2
    return np.sqrt(squares.sum((1, 2))), np.sqrt(squares.sum(1).mean(0))


def head_of_file(path: Path) -> Spanning:
    """A head as the project writes it."""
    head = read_head(path)
    masks = head.masks or derive_masks(head)
    inner = masks["eyeballs"] | masks.get("mouth", np.zeros_like(masks["eyeballs"]))
    directions = head.shapedirs[:, :, : head.n_shape_total].astype(float)
    faces = head.faces[~inner[head.faces].any(1)]
    return Spanning(path.stem, head.v_template.astype(float), directions, faces, masks["face"])


def head_of_people(wheel: Path, count: int = 100) -> Spanning:
    """The head that the committed statistics make."""
    source = Source(wheel)
    mesh = make_mesh(source)
    directions = read_directions(source).carried(mesh.operator)
    people = directions.vertices(read_statistics().draw(_PEOPLE, _PEOPLE_SEED))
    found = principal_directions(mesh, people, directions.average, count)
    outer = mesh.faces[np.isin(mesh.room, ("face", "neck"))]
    return Spanning("people.npz", found.mean, found.directions, outer, found.face)


def report(head: Spanning, scans: Scans) -> str:
    """One row of figures."""
    outer = outer_faces(head)
    people = scans.people(HELD_OUT, HELD_OUT_SEED)
    cells = [f"{head.name:12s}"]
    for k, prior in ((0, WEAK), (20, WEAK), (50, WEAK), (100, WEAK), (100, STRONG)):
        found = np.mean([fit_person(head, outer, scans, person, k, prior) for person in people], axis=0)
        cells.append(f"{found[0]:.3f} {found[1]:4.1f} {found[2]:.2f}")
    deviation, components = spread(head)
    cells.append(f"{deviation.mean():.2f} {deviation.min():.1f} {deviation.max():.1f}")
    cells.append(" ".join(f"{components[n - 1]:.2f}" for n in COMPONENTS))
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=Path, nargs=2, required=True, metavar=("MODEL", "LANDMARKS"))
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("heads", type=Path, nargs="*")
    arguments = parser.parse_args()
    scans = read_scans(*arguments.scans)
    print("each: distance mm, normals degrees, coefficients' rms | k = 0, 20, 50, 100 | 100 under the strong prior")
    print("then: deviation of a face vertex mm mean, least, most | components " + ", ".join(map(str, COMPONENTS)))
    if arguments.wheel:
        print(report(head_of_people(arguments.wheel), scans), flush=True)
    for path in arguments.heads:
        print(report(head_of_file(path), scans), flush=True)


if __name__ == "__main__":
    main()
