import io

import numpy as np
import pytest
import trimesh

from mfnet.scoring import meshes
from mfnet.scoring.meshes import ItemError, read_mesh, read_obj

SQUARE = b"v 0 0 0\nv 1 0 0\nv 1 1 0.5\nv 0 1 0\n"


@pytest.mark.parametrize(
    ("faces", "expected"),
    [
        (b"f 1 2 3\nf 1 3 4\n", [[0, 1, 2], [0, 2, 3]]),
        (b"f 1/1/1 2/2/2 3/3/3\nf 1//1 3//1 4//1\n", [[0, 1, 2], [0, 2, 3]]),
        (b"f 1 2 3\nf 1/7 3/8 4/9\n", [[0, 1, 2], [0, 2, 3]]),
        (b"f -4 -3 -2\n", [[0, 1, 2]]),
        (b"f 1 2 3 # a comment\ng group\nusemtl skin\n\nf  1  3 \t4\n", [[0, 1, 2], [0, 2, 3]]),
        (b"f 1 2 \\\n3\n", [[0, 1, 2]]),
        (b"  f 1 2 3\n", [[0, 1, 2]]),
        (b"f\t1 2 3\r\nf 1 3 4\r\n", [[0, 1, 2], [0, 2, 3]]),
    ],
)
def test_every_way_to_write_a_face(faces, expected):
    vertices, triangles = read_obj(SQUARE + faces)
    np.testing.assert_array_equal(vertices, [[0, 0, 0], [1, 0, 0], [1, 1, 0.5], [0, 1, 0]])
    np.testing.assert_array_equal(triangles, expected)


def test_quads_and_mixed_polygons_become_the_same_surface():
    _, quad = read_obj(SQUARE + b"f 1 2 3 4\n")
    _, mixed = read_obj(SQUARE + b"f 1 2 3 4\nf 1 2 3\n")
    assert sorted(map(sorted, quad.tolist())) == [[0, 1, 2], [0, 2, 3]]
    assert sorted(map(sorted, mixed.tolist())) == [[0, 1, 2], [0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize("extra", ["", " 0.5 0.25 1"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_fast_reader_slow_reader_and_trimesh_agree(extra, end):
    rng = np.random.default_rng(3)
    vertices, faces = rng.normal(size=(50, 3)), rng.integers(1, 51, (80, 3))
    lines = ["# head", "vt 0 1"] + [f"v {x:.7f} {y:.3e} {z:g}{extra}" for x, y, z in vertices]
    content = end.join(lines + ["vn 0 0 1"] + [f"f {a} {b} {c}" for a, b, c in faces] + ["", ""]).encode()
    fast = meshes._read_regular_obj(content)
    slow = meshes._read_obj_by_line(content.splitlines())
    other = trimesh.load(io.BytesIO(content), file_type="obj", process=False, maintain_order=True)
    for one, two, three in zip(fast, slow, (other.vertices, other.faces), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


def test_unreferenced_vertices_stay_and_are_counted(tmp_path):
    (tmp_path / "a.obj").write_bytes(SQUARE + b"f 1 2 4\n")
    mesh = read_mesh(tmp_path / "a.obj")
    assert len(mesh.vertices) == 4 and mesh.unreferenced == 1


def test_ply_is_read_in_file_order(tmp_path):
    sphere = trimesh.creation.icosphere(1)
    sphere.export(tmp_path / "a.ply")
    mesh = read_mesh(tmp_path / "a.ply")
    np.testing.assert_allclose(mesh.vertices, sphere.vertices, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, sphere.faces)


@pytest.mark.parametrize(
    ("name", "content", "status", "reason"),
    [
        ("a.obj", b"", "empty_mesh", "0 vertices"),
        ("a.obj", SQUARE, "empty_mesh", "0 faces"),
        ("a.obj", b"f 1 2 3\n", "empty_mesh", "0 vertices"),
        ("a.obj", SQUARE + b"f 1 2 9\n", "unreadable", "vertex 9 of 4"),
        ("a.obj", SQUARE + b"f 0 1 2\n", "unreadable", "line 5"),
        ("a.obj", SQUARE + b"f -9 1 2\n", "unreadable", "of 4"),
        ("a.obj", SQUARE + b"f 1 2\n", "unreadable", "line 5"),
        ("a.obj", SQUARE + b"f 1 2 x\n", "unreadable", "line 5"),
        ("a.obj", b"v 0 0 zero\n" + SQUARE + b"f 1 2 3\n", "unreadable", "line 1"),
        ("a.obj", b"v 0 nan 0\n" + SQUARE + b"f 1 2 3\n", "nan_vertices", "1 of 5"),
        ("a.obj", b"v 0 0 inf\n" + SQUARE + b"f 1 2 3\n", "nan_vertices", "1 of 5"),
        ("a.obj", b"\x00\xff" * 1000, "empty_mesh", "0 vertices"),
        ("a.ply", b"not a ply", "unreadable", "trimesh"),
    ],
)
def test_a_bad_file_is_a_status_and_a_reason(tmp_path, name, content, status, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ItemError) as caught:
        read_mesh(tmp_path / name)
    assert caught.value.status == status and reason in caught.value.reason


def test_a_missing_or_too_large_file_is_not_opened(tmp_path, monkeypatch):
    with pytest.raises(ItemError) as caught:
        read_mesh(tmp_path / "none.obj")
    assert caught.value.status == "missing_file"
    monkeypatch.setattr(meshes, "MAX_BYTES", 10)
    (tmp_path / "a.obj").write_bytes(SQUARE)
    with pytest.raises(ItemError) as caught:
        read_mesh(tmp_path / "a.obj")
    assert caught.value.status == "too_large"
