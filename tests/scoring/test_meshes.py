import os

import numpy as np
import pytest
import trimesh

from mfnet.scoring import meshes
from mfnet.scoring.meshes import ItemError, read_mesh

SQUARE = b"v 0 0 0\nv 1 0 0\nv 1 1 0.5\nv 0 1 0\n"


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
        ("a.obj", SQUARE + b"f 1 2 3\nf  1 2 %d\n" % (1 << 70), "unreadable", "line 6"),
        ("a.obj", b"v 0 0 zero\n" + SQUARE + b"f 1 2 3\n", "unreadable", "line 1"),
        ("a.obj", b"v 0 nan 0\n" + SQUARE + b"f 1 2 3\n", "nan_vertices", "1 of 5"),
        ("a.obj", b"v 0 0 inf\n" + SQUARE + b"f 1 2 3\n", "nan_vertices", "1 of 5"),
        ("a.obj", b"\x00\xff" * 1000, "empty_mesh", "0 vertices"),
        ("a.ply", b"not a ply", "unreadable", "not a PLY"),
        ("a.obj", b"\xef\xbb\xbf" + SQUARE + b"f 1 2 %d\n" % -(1 << 70), "unreadable", "line 5"),
        ("a.obj", SQUARE + b"f " + b"1 2 3 " * 20_000 + b"\n", "unreadable", "line 5 is longer"),
        ("a.obj", SQUARE + b"f 1 2 3\n" + b"\n" * (1 << 25), "unreadable", "lines"),
        ("a.stl", b"solid a\nendsolid a\n", "unreadable", ".obj and .ply"),
        ("a.obj/", None, "unreadable", "not a file"),
    ],
)
def test_a_bad_file_is_a_status_and_a_reason(tmp_path, name, content, status, reason):
    (tmp_path / name).mkdir() if content is None else (tmp_path / name).write_bytes(content)
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


def test_a_pipe_has_no_end_and_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.obj")
    with pytest.raises(ItemError, match="not a file"):
        read_mesh(tmp_path / "a.obj")


def test_a_byte_order_mark_costs_no_vertex(tmp_path):
    for content in (SQUARE + b"f 1 2 3\n", b"v 9 9 9\n" + SQUARE + b"f  1 2 3\n"):  # the fast way and the slow one
        (tmp_path / "a.obj").write_bytes(content)
        (tmp_path / "b.obj").write_bytes(b"\xef\xbb\xbf" + content)
        np.testing.assert_array_equal(read_mesh(tmp_path / "a.obj").vertices, read_mesh(tmp_path / "b.obj").vertices)
