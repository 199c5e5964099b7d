import torch
import trimesh

from mfnet.geometry import triangle_map, uv_vertices, vertex_normals


def sphere():
    mesh = trimesh.creation.icosphere(subdivisions=3)
    return torch.tensor(mesh.vertices, dtype=torch.float64)[None], torch.tensor(mesh.faces, dtype=torch.int64)


def test_normals_of_a_sphere_point_out():
    vertices, faces = sphere()
    assert (vertex_normals(vertices, faces) * vertices).sum(-1).min() > 0.999


def test_normals_are_unit_and_weighted_by_area():
    vertices, faces = sphere()
    stretched = vertices * torch.tensor([3.0, 1.0, 0.5])
    normals = vertex_normals(stretched, faces)[0]
    torch.testing.assert_close(normals.norm(dim=-1), torch.ones(len(normals), dtype=torch.float64))
    a, b, c = stretched[0][faces].unbind(1)
    crosses, total = torch.linalg.cross(b - a, c - a), torch.zeros_like(normals)
    for corner in range(3):
        total.index_put_((faces[:, corner],), crosses, accumulate=True)
    torch.testing.assert_close(normals, torch.nn.functional.normalize(total, dim=-1))


def test_lone_vertices_and_flat_faces_have_zero_normals_and_finite_gradients():
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]]], requires_grad=True)
    faces = torch.tensor([[0, 1, 2]])
    normals = vertex_normals(vertices, faces)
    assert normals.abs().max() == 0
    normals.sum().backward()
    assert vertices.grad.isfinite().all()


def test_gradient():
    vertices, faces = sphere()
    faces = faces[:12]
    assert torch.autograd.gradcheck(lambda v: vertex_normals(v, faces)[:, faces.unique()], vertices.requires_grad_())


def test_triangle_map_takes_edges_to_edges():
    before, after = torch.rand(2, 50, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps = triangle_map(before, after)
    for corner in (1, 2):
        step, image = (points[:, corner] - points[:, 0] for points in (before, after))
        torch.testing.assert_close((maps @ step[..., None])[..., 0], image)
    flat = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]])
    assert not triangle_map(flat, flat).isfinite().any()


def test_uv_vertices_finds_the_owner_on_both_sides_of_a_seam():
    faces, uv_faces = torch.tensor([[0, 1, 2], [2, 1, 3]]), torch.tensor([[0, 1, 2], [5, 4, 3]])
    assert uv_vertices(faces, uv_faces, 7).tolist() == [0, 1, 2, 3, 1, 2, 0]
