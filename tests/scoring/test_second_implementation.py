"""The scorer against the official definition written plainly, on random pairs of bad meshes.

The plain way shoots every ray at every triangle and looks at every pair of point and triangle, in float64. Meshes have
degenerate triangles, needles, duplicates and holes; some are whole heads, some tatters.
"""

import numpy as np
import pytest
import trimesh

from mfnet.scoring import metrics
from mfnet.scoring.cylinder import SIZE, cylinder_map
from mfnet.scoring.meshes import ItemError, Mesh
from mfnet.scoring.metrics import Comparison

ROWS = np.arange(0, SIZE, 5)
"""Rows of the map that the plain way looks at; rays of different rows know nothing of each other."""
ANGLES = np.arange(SIZE) * 2 * np.pi / 255
DIRECTIONS = np.column_stack([-np.sin(ANGLES), np.zeros(SIZE), -np.cos(ANGLES)])


def bad_mesh(rng: np.random.Generator) -> Mesh:
    """An ellipsoid of random form, with dents, holes, needles, triangles without area and triangles twice."""
    sphere = trimesh.creation.icosphere(int(rng.integers(1, 4)))
    vertices = np.array(sphere.vertices) * rng.uniform(50, 100, 3) + rng.normal(
        0, rng.choice([0.0, 2.0]), (len(sphere.vertices), 3)
    )
    vertices = trimesh.transformations.random_rotation_matrix(rng.random(3))[:3, :3] @ vertices.T
    vertices, faces = vertices.T + rng.uniform(-20, 20, 3), np.array(sphere.faces, np.int64)
    faces = faces[rng.random(len(faces)) > rng.choice([0.0, 0.1, 0.6])]
    count = len(faces) // 10 + 1
    chosen = rng.integers(len(faces), size=(4, count))
    needles = np.array([[*faces[i][:2], int(rng.integers(len(vertices)))] for i in chosen[0]])
    flat = faces[chosen[1]][:, [0, 0, 1]]
    on_a_line = np.arange(len(vertices), len(vertices) + count)
    middles = vertices[faces[chosen[2]][:, :2]].mean(axis=1)
    lines = np.column_stack([faces[chosen[2]][:, :2], on_a_line])
    return Mesh(np.vstack([vertices, middles]), np.vstack([faces, needles, flat, lines, faces[chosen[3]]]))


def plain_map(mesh: Mesh, rows: np.ndarray) -> np.ndarray:
    """[len(rows), 256] farthest hit of each ray, 0 for none: Moeller and Trumbore's test of every ray and triangle."""
    corners = mesh.vertices[mesh.faces]
    a, edge, other = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    found = np.zeros((len(rows), SIZE))
    with np.errstate(divide="ignore", invalid="ignore"):
        for number, row in enumerate(rows):
            to_origin = np.array([0.0, 150 - 300 * row / 255, 0.0]) - a
            for column, direction in enumerate(DIRECTIONS):
                p = np.cross(direction, other)
                determinant = (edge * p).sum(1)
                u = (to_origin * p).sum(1) / determinant
                q = np.cross(to_origin, edge)
                v, distance = q @ direction / determinant, (other * q).sum(1) / determinant
                hits = (np.abs(determinant) > 1e-9) & (u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 0)
                found[number, column] = distance[hits].max(initial=0.0)
    return found


def test_the_map_is_that_of_every_ray_against_every_triangle():
    """Rays that graze an edge may hit or miss by rounding: a few in a thousand, and only there."""
    rng, differing, rays = np.random.default_rng(0), 0, 0
    for _ in range(12):
        mesh = bad_mesh(rng)
        rows = rng.choice(ROWS, 4, replace=False)
        ours, plain = cylinder_map(mesh.vertices, mesh.faces).distance[rows], plain_map(mesh, rows)
        differing += int((np.abs(ours - plain) > 1e-6).sum())
        rays += ours.size
    assert differing < rays / 200


def nearest(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """[P] distance of each point to the nearest of triangles [F, 3, 3]: the foot on the plane, else the three edges."""
    along = np.roll(corners, -1, axis=1) - corners
    normal = np.cross(along[:, 0], -along[:, 2])
    area = np.linalg.norm(normal, axis=1)
    unit = normal / np.maximum(area, 1e-300)[:, None]
    inward = [np.cross(normal, along[:, number]) for number in range(3)]  # points into the triangle from each edge
    lengths = np.maximum((along**2).sum(2), 1e-300)
    found = []
    for point in points:
        height = ((point - corners[:, 0]) * unit).sum(1)
        foot, inside, best = point - height[:, None] * unit, area > 1e-9, np.full(len(corners), np.inf)
        for number in range(3):
            start, edge = corners[:, number], along[:, number]
            share = np.clip(((point - start) * edge).sum(1) / lengths[:, number], 0, 1)
            best = np.minimum(best, np.linalg.norm(point - start - share[:, None] * edge, axis=1))
            inside &= (inward[number] * (foot - start)).sum(1) >= 0
        found.append(np.where(inside, np.minimum(best, np.abs(height)), best).min())
    return np.array(found)


def plain_surface(distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Used vertices [N, 3] and triangles [F, 3, 3] over a masked map, pixel by pixel, as the official loop has them."""
    rows = 150 - 300 * np.arange(SIZE) / 255
    columns = (-distance * np.sin(ANGLES), np.broadcast_to(rows[:, None], distance.shape), -distance * np.cos(ANGLES))
    points = np.stack(columns, -1).reshape(-1, 3)
    values, faces = distance.tolist(), []
    for i, j in np.argwhere(distance).tolist():
        below, right = (i + 1) % SIZE, (j + 1) % SIZE
        around = [values[i][right], values[below][j], values[below][right]]
        if max(abs(values[i][j] - other) for other in around) < 15:
            k = SIZE * i + j
            faces += [[k, k + 1, k + SIZE], [k + SIZE + 1, k + SIZE, k + 1]]
    if max(map(max, faces), default=0) >= len(points):
        raise IndexError
    return points[np.unique(faces)], points[np.array(faces, int).reshape(-1, 3)]


def shown_normals(mesh: Mesh, faces: np.ndarray) -> np.ndarray:
    """[N, 3] of faces [N] of the mesh, as the official definition compares them: moved by 1 and normalised again; NaN
    for triangles without area."""
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces[faces]], 1, 0)
    normal = np.cross(b - a, c - b)
    with np.errstate(invalid="ignore"):
        moved = normal / np.linalg.norm(normal, axis=1, keepdims=True) + 1
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def plain_numbers(truth: Mesh, prediction: Mesh) -> dict:
    """CR, MNE and some of the distances behind CD of two meshes by the official definition, from the maps on."""
    maps = [cylinder_map(mesh.vertices, mesh.faces) for mesh in (truth, prediction)]
    common = (maps[0].distance != 0) & (maps[1].distance != 0)
    surfaces = [plain_surface(np.where(common, each.distance, 0)) for each in maps]
    chosen = [np.linspace(0, len(points) - 1, 6).astype(int) for points, _ in surfaces]
    near = [nearest(surfaces[k][0][chosen[k]], surfaces[1 - k][1]) for k in range(2)]
    shown = [shown_normals(mesh, each.face[common]) for mesh, each in zip((truth, prediction), maps, strict=True)]
    angles = np.arccos((shown[0] * shown[1]).sum(1))
    return {
        "near": near,
        "chosen": chosen,
        "CR": common.sum() / (maps[0].distance != 0).sum(),
        "MNE": float(np.nanmean(angles)),
        "counts": [len(points) for points, _ in surfaces],
    }


@pytest.mark.parametrize("number", range(3))
def test_numbers_are_those_of_the_plain_definition(number):
    check(number)


@pytest.mark.slow
def test_numbers_of_two_hundred_pairs_are_those_of_the_plain_definition():
    for number in range(3, 200):
        check(number)


def check(number: int) -> None:
    rng = np.random.default_rng([7, number])
    truth, prediction = bad_mesh(rng), bad_mesh(rng)
    comparison = Comparison(truth, prediction, 0.0, 1)
    try:
        values, errors = metrics.compare(comparison)
    except ItemError as error:
        assert error.status in ("no_overlap", "no_surface", "no_hits", "beyond_cylinder")
        return
    plain = plain_numbers(truth, prediction)
    assert plain["counts"] == [len(errors.truth_to_prediction), len(errors.prediction_to_truth)]
    assert values["CR"] == pytest.approx(plain["CR"], abs=1e-12)
    if np.isfinite(values["MNE"]) and np.isfinite(plain["MNE"]):
        assert values["MNE"] == pytest.approx(plain["MNE"], abs=1e-9)
    for distances, chosen, near in zip(
        (errors.truth_to_prediction, errors.prediction_to_truth), plain["chosen"], plain["near"], strict=True
    ):
        np.testing.assert_allclose(distances[chosen], near, atol=1e-4)
    both = np.concatenate([errors.truth_to_prediction, errors.prediction_to_truth])
    assert values["CD"] == pytest.approx(both.mean())
