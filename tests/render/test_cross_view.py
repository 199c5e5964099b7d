import torch

from mfnet.geometry import PinholeCamera, euler_to_matrix, vertex_normals
from mfnet.render import (
    faces_of,
    interpolate,
    orthographic_view,
    perspective_view,
    region_of,
    render_cross_view,
    render_shaded,
    render_textured,
)
from mfnet.render.shading import C4
from mfnet.render.view import LEAST_FACING
from tests.render.conftest import smooth_texture


def test_from_a_to_a_is_the_identity(head):
    view = head.view(0.0, 35.0, -70.0)
    photo, _ = render_textured(smooth_texture(256), view, head.layout(256), 160, 160)
    photo = torch.where(photo == 0, torch.ones(()), photo)  # a white wall
    cross = render_cross_view(photo, view, view, head.faces, 160, 160)
    hit = cross.raster.face_id > 0
    difference = (cross.image - photo).abs().amax(1) * 255
    assert difference[hit].max() < 0.01
    assert cross.seen.sum() > 0.9 * hit.sum()
    assert not cross.image.movedim(1, -1)[~hit].any()


def test_from_a_to_b_is_the_photograph_of_b_where_both_see(head):
    texture, layout = smooth_texture(512, cells=6), head.layout(512)
    view_a, view_b = head.view(0.0, 0.0), head.view(35.0, -35.0)
    photo_a, _ = render_textured(texture, view_a, layout, 224, 224)
    photo_b, _ = render_textured(texture, view_b, layout, 224, 224)
    cross = render_cross_view(photo_a, view_a, view_b, head.faces, 224, 224)
    skin = region_of(cross.raster, faces_of(head.masks["face"], head.faces)) & cross.seen
    assert skin.sum() > 5000
    difference = (cross.image - photo_b).abs().amax(1)[skin] * 255
    assert torch.quantile(difference, 0.99) < 4 and difference.mean() < 1


def test_what_a_does_not_see_is_not_claimed(head):
    """Turned from one profile to the other: nothing but the middle of the face is common."""
    view_a, view_b = head.view(80.0), head.view(-80.0)
    cross = render_cross_view(torch.ones(1, 3, 128, 128), view_a, view_b, head.faces, 128, 128)
    assert cross.seen.sum() < 0.1 * (cross.raster.face_id > 0).sum()


def test_what_lies_behind_something_in_a_is_not_claimed():
    """A small square before a large one; from the side, view b looks behind it. (Both face view a.)"""
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    squares = [torch.cat([half * corners, torch.full((4, 1), z)], 1) for half, z in ((0.1, 0.0), (0.04, 0.05))]
    vertices, faces = torch.cat(squares)[None], torch.tensor([[0, 1, 2], [2, 3, 0], [4, 5, 6], [6, 7, 4]])
    turned = vertices @ euler_to_matrix(*torch.tensor([[0.6], [0.0], [0.0]])).mT
    views = [orthographic_view(each, faces, torch.tensor([[8.0, 0, 0]])) for each in (vertices, turned)]
    cross = render_cross_view(torch.ones(1, 3, 96, 96), *views, faces, 96, 96)
    rear = (cross.raster.face_id == 1) | (cross.raster.face_id == 2)
    place = cross.source.abs().amax(-1)  # the small square ends at 0.32, the large one at 0.8
    hidden, shown = rear & (place < 0.3), rear & (place > 0.36) & (place < 0.75)
    assert hidden.sum() > 100 and not cross.seen[hidden].any()
    assert shown.sum() > 1000 and cross.seen[shown].all()


def test_what_a_sees_too_flatly_is_not_claimed(head):
    view_a, view_b = head.view(0.0), head.view(45.0)
    cross = render_cross_view(torch.ones(1, 3, 128, 128), view_a, view_b, head.faces, 128, 128)
    facing = interpolate(view_a.facing[..., None], cross.raster, head.faces)[..., 0]
    assert cross.seen.sum() > 3000 and facing[cross.seen].min() > LEAST_FACING


def test_source_is_where_the_point_was(head):
    view_a, view_b = head.view(10.0), head.view(30.0)
    cross = render_cross_view(torch.ones(1, 3, 96, 96), view_a, view_b, head.faces, 96, 96)
    expected = interpolate(view_a.clip, cross.raster, head.faces)[..., :2]
    inside = (cross.raster.barycentrics > 0).all(-1)
    torch.testing.assert_close(cross.source[inside], expected[inside], atol=1e-5, rtol=0)
    assert (cross.source - expected).abs().max() < 4 / 96


def test_gradients_are_those_of_finite_differences(head):
    def shifted(view, x):
        clip = view.clip.double() + x * torch.tensor([1.0, 0.7, 0, 0], dtype=torch.float64)
        return view._replace(clip=clip, distance=view.distance.double(), facing=view.facing.double())

    view_a, view_b = head.view(0.0), head.view(25.0)
    photo, _ = render_textured(smooth_texture(128), view_a, head.layout(128), 48, 48)
    weight = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def value(x_a, x_b):
        cross = render_cross_view(photo.double(), shifted(view_a, x_a), shifted(view_b, x_b), head.faces, 48, 48)
        return (cross.image * weight * inside).sum(), cross

    # A yaw keeps rows: without the shift every sample would lie on a kink of the bilinear interpolation.
    zero, step = torch.full((), 0.0137, dtype=torch.float64), 1e-7
    inside = torch.ones(())
    _, cross = value(zero, -zero)
    inside = (cross.seen & (cross.raster.barycentrics > 0).all(-1))[:, None]  # outlines have no gradient
    for a in (True, False):
        x = (zero if a else -zero).clone().requires_grad_()
        value(x if a else zero, -zero if a else x)[0].backward()
        ends = [value(*((zero + s * step, -zero) if a else (zero, s * step - zero)))[0] for s in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close(x.grad, expected, rtol=1e-3, atol=1e-3)


def test_shaded_render_under_uniform_light_is_the_albedo(head):
    view, layout, albedo = head.view(15.0), head.layout(128), smooth_texture(128)
    light = torch.zeros(1, 9, 3)
    light[:, 0] = 1 / C4
    normals = vertex_normals(head.turned(15.0), head.faces)
    shaded, raster = render_shaded(albedo, normals, light, view, layout, (64, 64))
    plain, _ = render_textured(albedo, view, layout, 64, 64)
    torch.testing.assert_close(shaded, plain)
    light[:, 3] = 0.5  # a lamp beside the camera
    lit, _ = render_shaded(albedo, normals, light, view, layout, (64, 64))
    brighter = (lit > shaded).all(1) | (raster.face_id == 0)
    assert brighter.float().mean() > 0.99


def test_perspective_and_orthographic_views_agree_from_afar(head):
    scale, distance, size = 7.5, 100.0, 128
    vertices = head.turned(20.0)
    focal = scale * distance * size / 2
    K = torch.tensor([[[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]])
    R = torch.diag(torch.tensor([1.0, -1, -1]))[None]
    camera = PinholeCamera(K, R, torch.tensor([[0.0, 0, distance]]), size, size, 90.0, 110.0)
    view = perspective_view(vertices, head.faces, camera)
    other = orthographic_view(vertices, head.faces, torch.tensor([[scale, 0, 0]]))
    torch.testing.assert_close(view.clip[..., :2] / view.clip[..., 3:], other.clip[..., :2], atol=5e-3, rtol=0)
    torch.testing.assert_close(view.facing, other.facing, atol=5e-3, rtol=0)
    torch.testing.assert_close(view.distance, other.distance + distance, atol=1e-3, rtol=0)
    image, _ = render_textured(smooth_texture(128), view, head.layout(128), size, size)
    wanted, _ = render_textured(smooth_texture(128), other, head.layout(128), size, size)
    assert (image - wanted).abs().mean() < 0.005
