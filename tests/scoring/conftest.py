"""An ellipsoid as head, in every space the benchmark knows it in."""

from types import SimpleNamespace

import numpy as np
import pytest
import trimesh

from mfnet.datasets import facescape
from mfnet.scoring.meshes import Mesh


def ball(radii=(70.0, 90.0, 80.0), centre=(0.0, 0.0, 0.0), subdivisions: int = 4) -> Mesh:
    """An ellipsoid in canonical millimetres, wound outwards: as smooth a head as there is."""
    sphere = trimesh.creation.icosphere(subdivisions)
    return Mesh(np.array(sphere.vertices) * radii + np.array(centre), np.array(sphere.faces, np.int64))


def wild_item(index: int = 0, yaw: float = 0.0) -> facescape.WildItem:
    rotation = np.diag([1.0, -1.0, -1.0]) @ facescape.view_rotation(yaw, 0.0)
    return facescape.WildItem(index, rotation, 130.0, np.array([0.02, -0.05, -10.0]))


def lab_item(index: int = 0) -> facescape.LabItem:
    intrinsics, rotation, translation = facescape.lab_camera(index % 33 // 11, index % 11)
    extrinsics = np.column_stack([rotation, translation / facescape.PUPIL_DISTANCE])
    return facescape.LabItem(index, rotation, translation, intrinsics, extrinsics)


def wild_cube(item: facescape.WildItem, mesh: Mesh) -> Mesh:
    """A canonical mesh (mm) in the cube units of a wild item: as ground truth and as a loader's output."""
    return mesh.moved(mesh.vertices @ item.rotation.T / item.pupil_scale + item.head_centre_cube)


def lab_world(mesh: Mesh) -> Mesh:
    """A canonical mesh (mm) as lab ground truth, pupil distances."""
    return mesh.moved(mesh.vertices / facescape.PUPIL_DISTANCE)


def lab_camera(item: facescape.LabItem, mesh: Mesh) -> Mesh:
    """A canonical mesh (mm) in a lab item's camera, pupil distances: an exact prediction of the right scale."""
    return mesh.moved((mesh.vertices @ item.rotation.T + item.head_centre) / facescape.PUPIL_DISTANCE)


def write_mesh(path, mesh: Mesh) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"v {x:.9f} {y:.9f} {z:.9f}" for x, y, z in mesh.vertices]
    lines += [f"f {a} {b} {c}" for a, b, c in mesh.faces + 1]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def scene():
    """The functions above, by name."""
    return SimpleNamespace(
        ball=ball,
        wild_item=wild_item,
        lab_item=lab_item,
        wild_cube=wild_cube,
        lab_world=lab_world,
        lab_camera=lab_camera,
        write_mesh=write_mesh,
    )


@pytest.fixture(scope="session")
def head():
    """The arrays of the open head."""
    from tests.heads import open_head

    return open_head()


@pytest.fixture(scope="session")
def benchmark_root(tmp_path_factory):
    """A small benchmark: wild items 000, 001, 305 and lab 00_0_00, 00_1_09, all of one ellipsoid."""
    root = tmp_path_factory.mktemp("benchmark")
    items = [wild_item(0), wild_item(1, 3.0), wild_item(305, 70.0)]
    for item in items:
        write_mesh(root / f"data/wild_gt_mesh/{item.name}.obj", wild_cube(item, ball()))
    facescape.write_wild_predef(root, items)
    facescape.write_lab_predef(root)
    write_mesh(root / "data/lab_gt_mesh/00.obj", lab_world(ball()))
    for focal, view in ((0, 0), (1, 9)):
        facescape.write_lab_view(root, 0, focal, view, np.zeros((256, 256, 3), np.uint8))
    return root
