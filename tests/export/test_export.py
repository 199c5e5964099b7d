"""Exported heads are opened by readers that we did not write, and looked at through their eyes."""

import json
import struct
from types import SimpleNamespace

import igl
import numpy as np
import pytest
import torch
import trimesh

from mfnet.errors import InputError
from mfnet.export.gltf import vertex_normals
from mfnet.export.meshes import export_head
from mfnet.export.pictures import grid, heat_colours, overlay_head, overlay_points, render_head
from mfnet.geometry import clip_from_orthographic, uv_vertices
from mfnet.io.ply import parse_ply
from tests.heads import open_flame, open_head


@pytest.fixture(scope="module")
def flame():
    flame = open_flame()
    uv, uv_faces = flame.uv_map
    template = torch.from_numpy(open_head().v_template)
    return SimpleNamespace(
        faces=flame.faces,
        uv=uv,
        uv_faces=uv_faces,
        uv_map=(uv, uv_faces),
        template=template,
        provenance=flame.provenance,
        content_hash=flame.content_hash,
    )


def chart(size=64):
    """A texture in which red grows with u and green with v."""
    step = ((np.arange(size) + 0.5) / size * 255).round()
    image = np.zeros((size, size, 3), np.uint8)
    image[..., 0], image[..., 1] = step[None], step[::-1, None]
    return image


def colour_at(texture, uv):
    """Nearest texel of uv [N, 2] (v up)."""
    size = len(texture)
    place = np.clip((uv * size).astype(int), 0, size - 1)
    return texture[size - 1 - place[..., 1], place[..., 0]]


def test_obj_keeps_vertices_faces_and_uv(flame, tmp_path):
    export_head(tmp_path / "head.obj", flame.template, flame, chart())
    text = (tmp_path / "head.obj").read_text().split("\n")
    assert sum(line.startswith("v ") for line in text) == len(flame.template)
    assert sum(line.startswith("vt ") for line in text) == len(flame.uv)
    vertices, uv, _, faces, uv_faces, _ = igl.readOBJ(str(tmp_path / "head.obj"))
    np.testing.assert_allclose(vertices[:, :3], flame.template.numpy(), atol=1e-6)
    np.testing.assert_allclose(uv[:, :2], flame.uv.numpy(), atol=1e-5)
    assert np.array_equal(faces, flame.faces.numpy()) and np.array_equal(uv_faces, flame.uv_faces.numpy())
    mesh = trimesh.load(tmp_path / "head.obj", process=False)  # follows the material to the picture
    assert np.array_equal(np.asarray(mesh.visual.material.image.convert("RGB")), chart())


def test_ply_keeps_vertices_and_faces_and_colours_vertices(flame, tmp_path):
    export_head(tmp_path / "head.ply", flame.template, flame, chart())
    mesh = trimesh.load(tmp_path / "head.ply", process=False)
    np.testing.assert_allclose(mesh.vertices, flame.template.numpy(), atol=1e-6)
    assert np.array_equal(mesh.faces, flame.faces.numpy())
    uv, uv_faces = flame.uv.numpy(), flame.uv_faces.numpy()
    corners = mesh.visual.vertex_colors[mesh.faces][..., :3].astype(int)
    single = np.bincount(np.unique(np.stack([mesh.faces.ravel(), uv_faces.ravel()]), axis=1)[0])[mesh.faces] == 1
    assert (np.abs(corners - colour_at(chart(), uv[uv_faces])) <= 4)[single].all()  # one texel at its border
    vertices, faces = parse_ply((tmp_path / "head.ply").read_bytes())
    np.testing.assert_allclose(vertices, flame.template.numpy(), atol=1e-6)
    assert np.array_equal(faces, flame.faces.numpy())


def test_glb_has_the_geometry_and_the_right_colour_everywhere(flame, tmp_path):
    export_head(tmp_path / "head.glb", flame.template, flame, chart())
    mesh = trimesh.load(tmp_path / "head.glb", force="mesh", process=False)
    assert len(mesh.vertices) == len(flame.uv)
    np.testing.assert_allclose(mesh.vertices[mesh.faces], flame.template[flame.faces].numpy(), atol=1e-6)
    texture = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"))
    seen = colour_at(texture, mesh.visual.uv[mesh.faces].mean(1)).astype(int)
    wanted = colour_at(chart(), flame.uv[flame.uv_faces].mean(1).numpy()).astype(int)
    assert np.abs(seen - wanted).max() <= 4


def test_glb_read_byte_by_byte_has_v_downwards(flame, tmp_path):
    """glTF counts v from the top: checked against the container itself, not through the library that wrote it."""
    import json
    import struct

    export_head(tmp_path / "head.glb", flame.template, flame, chart())
    data = (tmp_path / "head.glb").read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size = struct.unpack_from("<I", data, 12)[0]
    document, binary = json.loads(data[20 : 20 + size]), data[20 + size + 8 :]
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"]]
    start = document["bufferViews"][accessor["bufferView"]].get("byteOffset", 0) + accessor.get("byteOffset", 0)
    uv = np.frombuffer(binary, "<f4", 2 * accessor["count"], start).reshape(-1, 2)
    np.testing.assert_allclose(uv, flame.uv.numpy() * [1, -1] + [0, 1], atol=1e-6)


@pytest.mark.parametrize("suffix", [".obj", ".glb"])
def test_geometry_alone(flame, tmp_path, suffix):
    path = tmp_path / f"head{suffix}"
    export_head(path, flame.template, flame)
    mesh = trimesh.load(path, force="mesh", process=False)
    assert mesh.vertices.shape == flame.template.shape and mesh.faces.shape == flame.faces.shape
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_files_say_whose_the_head_is(flame, tmp_path):
    for name in ("head.glb", "head.obj"):
        export_head(tmp_path / name, flame.template, flame, chart())
    content = (tmp_path / "head.glb").read_bytes()
    (length,) = struct.unpack_from("<I", content, 12)
    asset = json.loads(content[20 : 20 + length])["asset"]
    assert "CC0-1.0" in asset["copyright"] and asset["extras"]["head"]["content_hash"] == flame.content_hash
    assert "licence CC0-1.0" in (tmp_path / "head.mtl").read_text()


def test_equal_heads_give_equal_bytes(flame, tmp_path):
    for name in ("a", "b"):
        export_head(tmp_path / name / "head.glb", flame.template, flame, chart())
        export_head(tmp_path / name / "head.obj", flame.template, flame, chart())
    for file in ("head.glb", "head.obj", "head.mtl", "head.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


class Elsewhere(torch.Tensor):
    """Stands in for a tensor on a GPU where there is none: NumPy cannot look into it before `cpu` brought it over."""

    def numpy(self):
        raise TypeError("can't convert a device tensor to numpy")

    def __array__(self, *_):
        raise TypeError("can't convert a device tensor to numpy")

    def cpu(self):
        return self.as_subclass(torch.Tensor)


def moved(flame, move) -> SimpleNamespace:
    """The head with every tensor, those in pairs too, as `move` makes it."""

    def part(value):
        if isinstance(value, tuple):
            return tuple(map(move, value))
        return move(value) if isinstance(value, torch.Tensor) else value

    return SimpleNamespace(**{name: part(value) for name, value in vars(flame).items()})


def assert_exported_alike(flame, other, tmp_path):
    for name, head in (("here", flame), ("there", other)):
        for suffix in ("obj", "glb"):
            export_head(tmp_path / name / f"head.{suffix}", head.template, head, chart())
    for file in ("head.obj", "head.glb"):
        assert (tmp_path / "here" / file).read_bytes() == (tmp_path / "there" / file).read_bytes()


def test_a_head_on_another_device_is_exported(flame, tmp_path):
    assert_exported_alike(flame, moved(flame, lambda tensor: tensor.as_subclass(Elsewhere)), tmp_path)


@pytest.mark.gpu
def test_a_head_on_a_gpu_is_exported_and_drawn(flame, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pytest.importorskip("nvdiffrast.torch", reason="nvdiffrast is not installed (extra gpu)")
    other = moved(flame, lambda tensor: tensor.cuda())
    assert_exported_alike(flame, other, tmp_path)
    here, there = (render_head(head.template, head, 64).astype(int) for head in (flame, other))
    assert np.abs(here - there).mean() < 2


def test_vertices_of_other_types_are_exported(flame, tmp_path):
    """Double precision, a gradient that is asked for, a plain array: what optimisation leaves behind."""
    export_head(tmp_path / "a.obj", flame.template, flame)
    for other in (flame.template.double(), flame.template.clone().requires_grad_(), flame.template.numpy()):
        export_head(tmp_path / "b.obj", other, flame)
        assert (tmp_path / "a.obj").read_bytes() == (tmp_path / "b.obj").read_bytes()


def test_refusals_name_the_file_and_the_field(flame, tmp_path):
    with pytest.raises(InputError, match=r"head\.stl.*format"):
        export_head(tmp_path / "head.stl", flame.template, flame)
    with pytest.raises(InputError, match=r"head\.obj.*vertices"):
        export_head(tmp_path / "head.obj", flame.template[:10], flame)
    bare = SimpleNamespace(faces=flame.faces, uv=None, uv_faces=None)
    with pytest.raises(InputError, match=r"head\.glb.*texture"):
        export_head(tmp_path / "head.glb", flame.template, bare, chart())
    assert not list(tmp_path.iterdir())


def test_head_picture_fills_its_frame_and_turns_to_the_right(flame):
    front, side = (render_head(flame.template, flame, 96, yaw) for yaw in (0, 60))
    head = (front < 250).any(-1)
    rows, columns = np.nonzero(head)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(0.9 * 96, abs=2)
    assert (head != head[:, ::-1]).mean() < 0.03
    tip = flame.template[:, 2].argmax()
    marked = torch.full((len(flame.template), 3), 0.5)
    marked[(flame.template - flame.template[tip]).norm(dim=-1) < 0.015] = torch.tensor([1.0, 0, 0])
    picture = render_head(flame.template, flame, 96, 60, colours=marked).astype(int)
    nose = np.nonzero(picture[..., 0] - picture[..., 1] > 40)[1]
    assert nose.mean() > 48 and not np.array_equal(front, side)


def test_textured_picture_shows_the_texture(flame):
    texture = torch.tensor([0.2, 0.6, 0.4])[:, None, None].expand(3, 8, 8)
    picture = render_head(flame.template, flame, 64, texture=texture)
    inside = (picture < 250).any(-1)
    assert inside.mean() > 0.3
    assert np.abs(np.median(picture[inside], 0) - np.array([51, 153, 102])).max() <= 1


def test_overlay_changes_only_where_the_head_is(flame):
    photo = np.full((80, 100, 3), 120, np.uint8)
    centred = flame.template - flame.template.mean(0)
    clip = clip_from_orthographic(centred[None], torch.tensor([[5.0, 0, 0]]))[0]
    picture = overlay_head(photo, centred, clip, flame)
    changed = (picture != photo).any(-1)
    assert 0.1 < changed.mean() < 0.9 and not changed[:, 0].any()


def test_points_lie_where_they_should():
    blank = np.zeros((40, 40, 3), np.uint8)
    drawn = overlay_points(blank, np.array([[10.5, 20.5], [np.nan, 3]]), radius=2)
    rows, columns = np.nonzero(drawn[..., 1] > 127)
    assert (rows.mean(), columns.mean()) == (20, 10) and not blank.any()


def test_heat_grows_and_saturates():
    colours = heat_colours(np.array([0.0, 1.0, 2.0, 9.0]), 2.0)
    assert torch.equal(colours[2], colours[3]) and not torch.equal(colours[0], colours[1])


def test_grid_leaves_a_gap_and_lines_up_columns():
    red, blue = np.zeros((4, 6, 3), np.uint8), np.zeros((5, 3, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    sheet = grid([[red, blue], [blue]], gap=2)
    assert sheet.shape == (5 + 2 + 5, 6 + 2 + 3, 3)


def seamed_pyramid():
    """Four sides around a tip and a vertex in no face; every side has UV of its own, so that all edges are seams."""
    vertices = np.array([[1, 0, 1], [1, 0, -1], [-1, 0, -1], [-1, 0, 1], [0, 1, 0], [5, 5, 5]], np.float64)
    faces = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    return vertices, faces


def test_normals_are_those_of_the_mesh_before_its_seams():
    vertices, faces = seamed_pyramid()
    normals = vertex_normals(vertices, faces)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    np.testing.assert_allclose(normals[4], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(normals[5], [0, 0, 1])
    whole = trimesh.creation.icosphere(2)
    found = vertex_normals(np.array(whole.vertices), np.array(whole.faces))
    np.testing.assert_allclose(found, whole.vertices, atol=0.03)


def test_both_sides_of_a_seam_have_one_normal_in_glb(flame, tmp_path):
    export_head(tmp_path / "a.glb", flame.template, flame, np.zeros((8, 8, 3), np.uint8))
    owner = uv_vertices(flame.faces, flame.uv_faces, len(flame.uv)).numpy()
    assert len(set(owner.tolist())) < len(owner)
    expected = vertex_normals(flame.template.numpy().astype(np.float64), flame.faces.numpy())[owner]
    np.testing.assert_allclose(stored_normals((tmp_path / "a.glb").read_bytes()), expected, atol=1e-6)


def stored_normals(content: bytes) -> np.ndarray:
    """The normals in a GLB file; trimesh reckons its own when it reads one."""
    length = struct.unpack_from("<I", content, 12)[0]
    header = json.loads(content[20 : 20 + length])
    accessor = header["accessors"][header["meshes"][0]["primitives"][0]["attributes"]["NORMAL"]]
    start = 28 + length + header["bufferViews"][accessor["bufferView"]].get("byteOffset", 0)
    return np.frombuffer(content, np.float32, 3 * accessor["count"], start).reshape(-1, 3)
