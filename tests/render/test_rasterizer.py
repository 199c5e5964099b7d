import pytest
import torch

from mfnet.geometry import clip_from_orthographic
from mfnet.render import interpolate, rasterize, reference
from tests.render.meshes import bumpy_sphere, triangle_soup


def compare(clip, faces, height, width):
    """Hold the kernels against the reference; returns the kernels' raster."""
    fast, slow = rasterize(clip, faces, height, width), reference.rasterize(clip, faces, height, width)
    assert torch.equal(fast.face_id, slow.face_id)
    tolerance = 1e-9 if clip.dtype == torch.float64 else 1e-4
    difference = (fast.barycentrics.double() - slow.barycentrics).abs().flatten()
    assert torch.quantile(difference[:: max(1, len(difference) // 1_000_000)], 0.999) < tolerance
    torch.testing.assert_close(fast.depth.double(), slow.depth, atol=1e-5, rtol=1e-4)
    return fast


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("height, width", [(32, 32), (37, 53)])
def test_agrees_with_the_reference_on_random_triangles(seed, dtype, height, width):
    clip, faces = triangle_soup(seed=seed, dtype=dtype)
    raster = compare(clip, faces, height, width)
    assert 0.3 < (raster.face_id > 0).double().mean() <= 1


@pytest.mark.parametrize("batch", [1, 33])
def test_agrees_with_the_reference_on_small_triangles_of_a_closed_surface(batch):
    vertices, faces = bumpy_sphere(batch)
    camera = torch.tensor([[0.9, 0.1, -0.05]]).expand(batch, 3)
    compare(clip_from_orthographic(vertices, camera), faces, 24, 24)


def test_pixel_centres_on_shared_edges_belong_to_one_triangle():
    # All vertices on pixel centres: edges run through centres everywhere.
    grid = torch.stack(torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="xy"), -1).view(-1, 2)
    ndc = ((grid * 2 + 0.5) / 8 - 1).double()
    clip = torch.cat([ndc, torch.zeros(81, 1), torch.ones(81, 1)], -1).double()[None]
    corner = (torch.arange(8)[:, None] * 9 + torch.arange(8)).flatten()
    faces = torch.cat(
        [torch.stack([corner, corner + 1, corner + 10], -1), torch.stack([corner, corner + 10, corner + 9], -1)]
    )
    compare(clip, faces, 16, 16)
    hits = reference.covered(clip[0], faces, 16, 16).sum(0)
    assert hits.max() == 1


def test_row_zero_is_at_the_top_and_column_zero_at_the_left():
    clip = torch.tensor([[[-1.0, 1, 0, 1], [-0.5, 1, 0, 1], [-1, 0.5, 0, 1]]])
    raster = rasterize(clip, torch.tensor([[0, 1, 2]]), 16, 16)
    assert raster.face_id[0, 0, 0] == 1
    assert raster.face_id[0, 4:].abs().max() == 0
    assert raster.face_id[0, :, 4:].abs().max() == 0


def test_nearer_face_wins_and_the_first_of_equals():
    near, far = -0.5, 0.5
    corners = torch.tensor([[-1.0, -1], [3, -1], [-1, 3]])
    layers = [torch.cat([corners, torch.full((3, 1), z), torch.ones(3, 1)], -1) for z in (far, near, near)]
    raster = rasterize(torch.cat(layers)[None], torch.arange(9).view(3, 3), 8, 8)
    assert (raster.face_id == 2).all()
    torch.testing.assert_close(raster.depth, torch.full((1, 8, 8), near))


def test_degenerate_and_edge_on_triangles_cover_nothing():
    clip, _ = triangle_soup(batch=1, faces=3)
    clip[0, 3:6, 0] = clip[0, 3:6, 3] * 0.1  # edge-on: one vertical line
    faces = torch.tensor([[0, 0, 1], [2, 2, 2], [3, 4, 5], [6, 7, 6]])
    raster = compare(clip, faces, 64, 64)
    assert raster.face_id.abs().max() == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_triangles_with_positions_that_are_not_finite_are_dropped(bad):
    clip, faces = triangle_soup(batch=1, faces=10, seed=3)
    clip[0, 4, 1] = bad
    raster = compare(clip, faces, 32, 32)
    assert not (raster.face_id == 2).any()
    assert raster.barycentrics.isfinite().all()


def test_outside_the_depth_range_nothing_is_drawn():
    clip, faces = triangle_soup(batch=1, faces=20, seed=5)
    clip[..., 2] = clip[..., 2] * 2.5
    raster = compare(clip, faces, 48, 48)
    assert raster.depth.abs().max() <= 1


def crossing_mesh(seed):
    """Large triangles of a perspective camera, many with one or two vertices behind it."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(1, 60, 3, generator=generator, dtype=torch.float64) * 4 - 2  # x, y, distance
    near, far, w = 0.1, 10.0, points[..., 2]
    z = (w * (far + near) - 2 * far * near) / (far - near)
    return torch.stack([points[..., 0], points[..., 1], z, w], -1), torch.arange(60).view(20, 3)


@pytest.mark.parametrize("seed", range(4))
def test_triangles_that_cross_the_camera_plane_are_cut_at_the_near_plane(seed):
    clip, faces = crossing_mesh(seed)
    assert ((clip[0, :, 3] < 0)[faces].float().mean(-1) * 3).unique().tolist() == [0, 1, 2, 3]
    fast, slow = rasterize(clip, faces, 64, 64), reference.rasterize(clip, faces, 64, 64)
    same = fast.face_id == slow.face_id
    assert same.double().mean() > 0.97  # the reference cannot snap what lies behind the camera: edges move by 1/16 px
    hit = same & (fast.face_id > 0)
    assert hit.sum() > 500
    torch.testing.assert_close(fast.barycentrics[hit], slow.barycentrics[hit])
    assert fast.barycentrics.isfinite().all() and fast.depth.abs().max() <= 1


def test_huge_triangles_keep_their_edges_where_they_are():
    # One edge runs down the middle of the image; the other corners are a million image widths away, near and far.
    clip = torch.tensor([[[0.0, -1e6, 0, 1], [0, 1e6, 0, 1], [1e6, 0, 0, 1]]], dtype=torch.float64)
    raster = rasterize(clip, torch.tensor([[0, 1, 2]]), 32, 32)
    assert (raster.face_id[0, :, 16:] == 1).all() and (raster.face_id[0, :, :16] == 0).all()
    assert raster.barycentrics.isfinite().all()


@pytest.mark.parametrize("batch, vertices, faces", [(0, 3, 1), (2, 3, 0), (2, 0, 0), (33, 3, 1)])
def test_empty_batches_and_meshes(batch, vertices, faces):
    clip = torch.full((batch, vertices, 4), 5.0, requires_grad=True)  # all outside the image
    index = torch.zeros(faces, 3, dtype=torch.int64)
    raster = rasterize(clip, index, 8, 12)
    values = interpolate(torch.ones(batch, vertices, 5), raster, index)
    assert values.shape == (batch, 8, 12, 5) and not values.any() and not raster.face_id.any()
    values.sum().backward()
    assert clip.grad.shape == clip.shape and not clip.grad.any()


def test_interpolation_agrees_with_the_reference():
    clip, faces = triangle_soup(batch=3)
    raster = rasterize(clip, faces, 32, 32)
    generator = torch.Generator().manual_seed(9)
    for shape in [(3, 120, 7), (120, 2)]:
        attributes = torch.randn(*shape, generator=generator, dtype=torch.float64)
        torch.testing.assert_close(
            interpolate(attributes, raster, faces), reference.interpolate(attributes, raster, faces)
        )


def test_interpolation_with_another_table():
    clip, faces = triangle_soup(batch=2, faces=10)
    raster = rasterize(clip, faces, 32, 32)
    table = torch.randint(0, 5, (10, 3), generator=torch.Generator().manual_seed(1))
    values = torch.rand(5, 3, dtype=torch.float64)
    expanded = values[table].flatten(0, 1)  # one value a corner: what the table stands for
    torch.testing.assert_close(interpolate(values, raster, table), interpolate(expanded, raster, faces))


def test_interpolated_positions_are_the_pixel_centres():
    clip, faces = triangle_soup(batch=2)
    raster = rasterize(clip, faces, 40, 40)
    seen = interpolate(clip, raster, faces)
    inside = (raster.barycentrics > 1e-6).all(-1)  # not moved onto an edge
    ndc = (seen[..., :2] / seen[..., 3:])[inside]
    torch.testing.assert_close(ndc, reference.pixel_centres(40, 40).expand(2, 40, 40, 2)[inside])


def gradients(rasterizer, interpolator, clip, attributes, faces, weight):
    clip, attributes = clip.clone().requires_grad_(), attributes.clone().requires_grad_()
    raster = rasterizer(clip, faces, *weight.shape[1:3])
    (interpolator(attributes, raster, faces) * weight).sum().backward()
    return clip.grad, attributes.grad


@pytest.mark.parametrize("shared", [False, True])
def test_gradients_agree_with_the_references_autograd(shared):
    clip, faces = triangle_soup(batch=3)
    generator = torch.Generator().manual_seed(2)
    attributes = torch.randn(*([] if shared else [3]), 120, 4, generator=generator, dtype=torch.float64)
    weight = torch.randn(3, 32, 32, 4, generator=generator, dtype=torch.float64)
    fast = gradients(rasterize, interpolate, clip, attributes, faces, weight)
    slow = gradients(reference.rasterize, reference.interpolate, clip, attributes, faces, weight)
    assert fast[0][..., 2].abs().max() == 0  # z decides what is seen, not where
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b)


def test_gradients_are_those_of_finite_differences():
    clip, faces = triangle_soup(batch=1, faces=6, seed=4)
    attributes = torch.randn(1, 18, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    weight = torch.randn(1, 24, 24, 3, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    fixed = rasterize(clip, faces, 24, 24).face_id
    grad, _ = gradients(rasterize, interpolate, clip, attributes, faces, weight)
    step, checked = 1e-6, 0
    for vertex in range(18):
        for axis in (0, 1, 3):
            ends = []
            for sign in (1, -1):
                moved = clip.clone()
                moved[0, vertex, axis] += sign * step
                raster = rasterize(moved, faces, 24, 24)
                ends.append((interpolate(attributes, raster, faces) * weight).sum())
                same = torch.equal(raster.face_id, fixed)
            if same:
                expected = (ends[0] - ends[1]) / (2 * step)
                torch.testing.assert_close(grad[0, vertex, axis], expected, atol=1e-4, rtol=1e-4)
                checked += 1
    assert checked > 40


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_result_does_not_depend_on_threads(dtype):
    vertices, faces = bumpy_sphere(5, dtype=dtype)
    clip = clip_from_orthographic(vertices, torch.tensor([[0.9, 0, 0]], dtype=dtype).expand(5, 3))
    attributes = torch.rand(vertices.shape[1], 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    weight = torch.rand(5, 32, 32, 3, generator=torch.Generator().manual_seed(1), dtype=dtype)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            results.append(gradients(rasterize, interpolate, clip, attributes, faces, weight))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_one_image_is_the_same_alone_and_in_a_batch():
    clip, faces = triangle_soup(batch=4)
    together = rasterize(clip, faces, 32, 32)
    for i in range(4):
        alone = rasterize(clip[i : i + 1], faces, 32, 32)
        assert all(torch.equal(a[0], b[i]) for a, b in zip(alone, together, strict=True))


def test_layouts_and_index_types_do_not_matter():
    clip, faces = triangle_soup(batch=2)
    expected = rasterize(clip, faces, 32, 32)
    strided = clip.flip(-1).flip(-1).mT.contiguous().mT
    for other in (rasterize(strided, faces.int(), 32, 32), rasterize(clip, faces.T.contiguous().T, 32, 32)):
        assert all(torch.equal(a, b) for a, b in zip(other, expected, strict=True))


@pytest.mark.parametrize(
    "shape, faces, message",
    [
        ((2, 3), [[0, 1, 2]], "expected"),
        ((1, 3, 3), [[0, 1, 2]], "expected"),
        ((1, 3, 4), [[0, 1, 3]], "do not fit"),
        ((1, 3, 4), [[0, -1, 2]], "do not fit"),
        ((1, 3, 4), [[0, 1]], "faces"),
        ((1, 3, 4), [[0.0, 1.0, 2.0]], "integers"),
    ],
)
def test_refuses_what_does_not_fit(shape, faces, message):
    with pytest.raises(ValueError, match=message):
        rasterize(torch.ones(shape), torch.tensor(faces), 8, 8)


def test_interpolation_refuses_a_table_too_short():
    clip, faces = triangle_soup(batch=1, faces=10)
    raster = rasterize(clip, faces, 32, 32)
    with pytest.raises(ValueError, match="faces"):
        interpolate(clip, raster, faces[:2])
