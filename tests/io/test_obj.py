"""OBJ files as others write them, and ours as others read them."""

import io

import igl
import numpy as np
import pytest
import trimesh

from mfnet.io import obj
from mfnet.io.obj import ObjMesh, parse_obj, parse_obj_with_uv, write_obj

SQUARE = b"v 0 0 0\nv 1 0 0\nv 1 1 0.5\nv 0 1 0\n"
UV = b"vt 0 0\nvt 1 0 0\nvt 1 1\n"


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
    mesh = parse_obj(SQUARE + faces)
    np.testing.assert_array_equal(mesh.vertices, [[0, 0, 0], [1, 0, 0], [1, 1, 0.5], [0, 1, 0]])
    np.testing.assert_array_equal(mesh.faces, expected)


def test_quads_and_mixed_polygons_become_the_same_surface():
    quad = parse_obj(SQUARE + b"f 1 2 3 4\n").faces
    mixed = parse_obj(SQUARE + b"f 1 2 3 4\nf 1 2 3\n").faces
    assert sorted(map(sorted, quad.tolist())) == [[0, 1, 2], [0, 2, 3]]
    assert sorted(map(sorted, mixed.tolist())) == [[0, 1, 2], [0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize("extra", ["", " 0.5 0.25 1"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_fast_reader_slow_reader_and_trimesh_agree(extra, end):
    rng = np.random.default_rng(3)
    vertices, faces = rng.normal(size=(50, 3)), rng.integers(1, 51, (80, 3))
    lines = ["# head", "vt 0 1"] + [f"v {x:.7f} {y:.3e} {z:g}{extra}" for x, y, z in vertices]
    content = end.join(lines + ["vn 0 0 1"] + [f"f {a} {b} {c}" for a, b, c in faces] + ["", ""]).encode()
    fast = obj._parse_regular(content)
    slow = obj._parse_by_line(content, with_uv=False, most=1000)
    other = trimesh.load(io.BytesIO(content), file_type="obj", process=False, maintain_order=True)
    for name in ("vertices", "faces"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name))
        np.testing.assert_array_equal(getattr(fast, name), getattr(other, name))


def test_lines_end_in_any_of_three_ways():
    for end in (b"\n", b"\r\n", b"\r"):
        content = (SQUARE + b"f  1 2 3\n").replace(b"\n", end)
        assert parse_obj(content).faces.tolist() == [[0, 1, 2]]


def test_texture_coordinates_and_their_triangles():
    mesh = parse_obj_with_uv(SQUARE + UV + b"f 1/1 2/2/1 3/3 4/-1\n", most=9)
    assert mesh.uv.tolist() == [[0, 0], [1, 0], [1, 1]]
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]] and mesh.uv_faces.tolist() == [[0, 1, 2], [0, 2, 2]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"f 1/1 2/2 3\n", "line 8: a face corner has no texture"),
        (b"f 1//1 2//2 3//3\n", "line 8: a face corner has no texture"),
        (b"f 1/1 2/2 3/x\n", "line 8: not numbers: '1 2 x'"),
        (b"f 1/1 2/2 3/0\n", "line 8: vertex 0"),
        (b"vt 1\n", "line 8: 1 fields, at least 2"),
        (b"v 0 0 0\n" * 6, "line 13: more than 9"),
        (b"f " + b"1/1 " * 12 + b"\n", "line 8: more than 9"),
        (b"f " + b"1/1 " * 20_000 + b"\n", "line 8 is longer than 65536"),
        (b"f 1/1 2/2 %d/3\n" % (1 << 70), "line 8: an index beyond"),
    ],
)
def test_a_bad_line_is_named(content, message):
    with pytest.raises(ValueError, match=message):
        parse_obj_with_uv(SQUARE + UV + content, most=9)


def small() -> ObjMesh:
    vertices = np.array([[0.0, -0.0, 1e-9], [1.23456789, 0, 0], [0, 1 / 3, -2.5]])
    return ObjMesh(
        vertices, np.array([[0, 1, 2]]), np.array([[0, 1], [1 / 3, 0.25], [1, 1]], np.float32), np.array([[2, 0, 1]])
    )


def test_the_bytes_of_the_three_forms_that_are_written(tmp_path):
    """Ground truths, heads to look at and the UV template are artifacts: their bytes must not move."""
    mesh, path = small(), tmp_path / "a.obj"
    write_obj(path, ObjMesh(mesh.vertices, mesh.faces), decimals=6)
    assert path.read_bytes() == (
        b"v 0.000000 -0.000000 0.000000\nv 1.234568 0.000000 0.000000\nv 0.000000 0.333333 -2.500000\nf 1 2 3\n"
    )
    write_obj(path, mesh, material=("a.mtl", "head"))
    assert path.read_bytes() == (
        b"mtllib a.mtl\nv 0.0000000 -0.0000000 0.0000000\nv 1.2345679 0.0000000 0.0000000\n"
        b"v 0.0000000 0.3333333 -2.5000000\nvt 0.000000 1.000000\nvt 0.333333 0.250000\nvt 1.000000 1.000000\n"
        b"usemtl head\nf 1/3 2/1 3/2\n"
    )
    write_obj(path, mesh, uv_format="%.9g")
    assert path.read_bytes().split(b"\n")[3:7] == [b"vt 0 1", b"vt 0.333333343 0.25", b"vt 1 1", b"f 1/3 2/1 3/2"]


def test_what_is_written_is_read_back_by_us_and_by_libigl(tmp_path):
    rng = np.random.default_rng(0)
    faces, uv_faces = rng.integers(0, 40, (70, 3)), rng.integers(0, 50, (70, 3))
    mesh = ObjMesh(rng.normal(size=(40, 3)), faces, rng.random((50, 2)).astype(np.float32), uv_faces)
    write_obj(tmp_path / "a.obj", mesh, decimals=9, uv_format="%.9g")
    back = parse_obj_with_uv((tmp_path / "a.obj").read_bytes(), most=100)
    vertices, uv, _, igl_faces, igl_uv_faces, _ = igl.readOBJ(str(tmp_path / "a.obj"))
    np.testing.assert_allclose(back.vertices, mesh.vertices, atol=1e-9)
    np.testing.assert_array_equal(back.uv.astype(np.float32), mesh.uv)
    np.testing.assert_array_equal(back.vertices, vertices)
    np.testing.assert_array_equal(back.uv, uv)
    for ours, theirs, written in ((back.faces, igl_faces, faces), (back.uv_faces, igl_uv_faces, uv_faces)):
        assert np.array_equal(ours, written) and np.array_equal(theirs, written)
