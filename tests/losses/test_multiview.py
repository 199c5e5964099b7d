"""Properties of the losses on rendered heads whose parameters are known."""

from types import SimpleNamespace

import pytest
import torch

from mfnet.flow import DisFlow, RaftFlow
from mfnet.geometry import axis_angle_to_matrix, project_orthographic
from mfnet.losses.eye_lip import eye_loss, lip_loss
from mfnet.losses.landmarks import landmark_loss
from mfnet.losses.multiview import (
    PAIRS,
    MultiviewFlow,
    covisible_mask,
    cross_pairs,
    draw_pair,
    drawn_points,
    sliding_points,
)
from mfnet.model.parameters import Person, Prediction, View
from mfnet.model.projection import DecodedHeads, decode
from mfnet.params import LossParams
from mfnet.render import comparable_faces, interpolate, orthographic_view, region_of, render_cross_view
from tests.losses.scenes import with_codes

PARAMS = LossParams(
    flow=1.0, landmarks=1.0, eye=1.0, lip=0.5, regularisation=1e-4, photometric=0.0, albedo_space=None,
    shape_consistency=0.0, flow_estimator="dis", flow_gradient="target", flow_check=False, flow_cap=0.2,
    mask="geometric", cameras="estimated", camera_distance=None,
)  # fmt: skip
PIXEL = 2 / 128
"""One pixel in ndc."""
BOTH_WAYS = [(0, 1), (1, 0), (0, 2), (2, 0)]


def flow_loss(flame, scene, parameters, pair, params=PARAMS, estimate=None) -> torch.Tensor:
    heads = decode(flame, parameters)
    pairs = torch.tensor([pair]).expand(4, 2)
    batch = scene.batch
    estimate = estimate or DisFlow().flow
    return MultiviewFlow(flame, params, estimate)(heads, batch.pixels(), batch.landmarks, pairs)


@pytest.mark.parametrize("pair", BOTH_WAYS)
@pytest.mark.parametrize(("mask", "pixels"), [("geometric", 0.15), ("landmarks", 0.3)])
def test_flow_is_nearly_zero_at_the_truth_both_ways(flame, scene, pair, mask, pixels):
    """The eq. 5 mask lets hidden pixels of view a in, so it is less exact than the z-test."""
    loss = flow_loss(flame, scene, scene.truth, pair, PARAMS.model_copy(update={"mask": mask}))
    assert loss < pixels * PIXEL


def test_landmark_losses_are_zero_at_the_truth(flame, scene):
    heads, detected = decode(flame, scene.truth), scene.batch.landmarks
    for loss in (landmark_loss, eye_loss, lip_loss):
        assert loss(detected, heads.landmarks, heads.visible) < 1e-6


def test_losses_fall_along_the_way_to_the_truth(flame, scene):
    detected = scene.batch.landmarks
    rows = []
    for share in (0.0, 0.1, 0.25, 0.5):
        state = scene.disturbed(share)
        heads = decode(flame, state)
        flows = [flow_loss(flame, scene, state, pair) for pair in BOTH_WAYS]
        points = [loss(detected, heads.landmarks, heads.visible) for loss in (landmark_loss, eye_loss, lip_loss)]
        rows.append(torch.stack([*flows, *points]))
    values = torch.stack(rows)  # [share, term]
    assert (values.diff(dim=0) > 0).all(), values


def test_descending_the_flow_target_leads_back(flame, scene):
    """View 1 is disturbed, view 0 is true: steps on flow alone bring the face in view 1 back to where it truly is.

    (Flow between two views compares them with each other: an error that both share is left to the landmarks.)
    """
    truth = decode(flame, scene.truth).projected[:, 1, flame.masks["face"], :2]
    state, wrong = scene.truth, scene.disturbed(0.3)
    free = {name: getattr(wrong.views, name)[:, 1].clone().requires_grad_() for name in ("global_pose", "camera")}
    optimiser = torch.optim.Adam(
        [{"params": free["global_pose"], "lr": 0.004}, {"params": free["camera"], "lr": 0.002}]
    )

    def present() -> Prediction:
        views = state.views
        return with_codes(
            state,
            **{n: torch.stack([getattr(views, n)[:, 0], v, getattr(views, n)[:, 2]], 1) for n, v in free.items()},
        )

    def error() -> float:
        found = decode(flame, present()).projected[:, 1, flame.masks["face"], :2]
        return float((found - truth).detach().norm(dim=-1).mean())

    before = error()
    for _ in range(16):
        optimiser.zero_grad()
        flow_loss(flame, scene, present(), (0, 1)).backward()
        optimiser.step()
    assert error() < 0.5 * before


def test_a_target_of_the_wrong_sign_leads_away(flame, scene):
    """What the test above relies on: the same steps with the flow turned round do not help."""
    state = scene.disturbed(0.25)
    free = state.views.camera.clone().requires_grad_()
    moved = with_codes(state, camera=free)
    right = flow_loss(flame, scene, moved, (0, 1))
    wrong = flow_loss(flame, scene, moved, (0, 1), estimate=lambda a, b: -DisFlow().flow(a, b))
    good, bad = (torch.autograd.grad(loss, free)[0] for loss in (right, wrong))
    assert torch.allclose(good, -bad, atol=1e-6) and good.abs().max() > 0


@pytest.mark.parametrize("route", ["target", "through"])
def test_gradient_is_that_of_finite_differences(flame, scene, route):
    """In the camera's shift, with an estimator whose flow is smooth in the images."""
    torch.manual_seed(0)
    kernel = 0.5 * torch.randn(2, 6, 5, 5)

    def smooth(a, b):
        return torch.nn.functional.conv2d(torch.cat([a, b], 1), kernel, padding=2)

    params = PARAMS.model_copy(update={"flow_gradient": route, "flow_cap": 10.0})
    batch, state = scene.batch, scene.disturbed(0.1)
    items, b = torch.arange(4), torch.ones(4, dtype=torch.long)
    heads = decode(flame, state)
    fixed = draw_pair(flame, heads, batch.pixels(), items, 0 * b, b)
    points = drawn_points(flame, heads.projected[items, b], fixed)
    # The target is constant by definition: differentiate what remains, |p - q| with q held.
    flow = smooth(fixed.image, batch.pixels()[:, 1]).detach()

    def value(shift: torch.Tensor) -> torch.Tensor:
        camera = state.views.camera.clone()
        camera[:, 0, 1] = camera[:, 0, 1] + shift
        moved = decode(flame, with_codes(state, camera=camera))
        if route == "through":
            return draw_pair(flame, moved, batch.pixels(), items, 0 * b, b).image.double().square().mean()
        camera = state.views.camera.clone()
        camera[:, 1, 1] = camera[:, 1, 1] + shift
        moved = decode(flame, with_codes(state, camera=camera))
        there = drawn_points(flame, moved.projected[items, b], fixed).double()
        return (there - points.detach() - flow.permute(0, 2, 3, 1)).square().mean()

    shift = torch.zeros((), requires_grad=True)
    (gradient,) = torch.autograd.grad(value(shift), shift)
    with torch.no_grad():
        step = 2e-4
        numeric = (value(torch.tensor(step)) - value(torch.tensor(-step))) / (2 * step)
    assert gradient.item() == pytest.approx(numeric.item(), rel=0.03), params.flow_gradient


def test_the_gradient_through_raft_reaches_both_views(flame, scene):
    torch.manual_seed(0)
    raft = RaftFlow("raft_small", updates=2)
    params = PARAMS.model_copy(update={"flow_estimator": "raft_small", "flow_gradient": "through", "flow_cap": 10.0})
    camera, shape = (code.clone().requires_grad_() for code in (scene.truth.views.camera, scene.truth.person.shape))
    free = with_codes(scene.truth, camera=camera, shape=shape)
    flow_loss(flame, scene, free, (0, 1), params, raft.flow).backward()
    assert camera.grad[:, 0].abs().min() > 0 and camera.grad[:, 1].abs().min() > 0
    assert camera.grad[:, 2].abs().max() == 0 and shape.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in raft.parameters())


def test_the_target_route_moves_both_views_of_the_pair(flame, scene):
    state = scene.disturbed(0.2)
    camera = state.views.camera.clone().requires_grad_()
    flow_loss(flame, scene, with_codes(state, camera=camera), (0, 1)).backward()
    assert camera.grad[:, [0, 1]].abs().min() > 0 and camera.grad[:, 2].abs().max() == 0


def test_a_point_that_slides_along_a_right_surface_costs_nothing():
    """A ball that spins keeps its surface: points move in both views, together they say nothing. One that grows, does.

    Checked against view b alone, which takes spinning for an error.
    """
    vertices, faces = ball(24)
    vertices = 0.1 * vertices
    turn = axis_angle_to_matrix(torch.tensor([[0.0, -0.5, 0.0]]))
    camera = torch.tensor([[8.0, 0.0, 0.0]])
    free = {"spin": torch.zeros(1, 3, requires_grad=True), "size": torch.ones(1, requires_grad=True)}
    moved = free["size"] * vertices @ axis_angle_to_matrix(free["spin"]).mT
    in_a, in_b = (project_orthographic(points, camera) for points in (moved, moved @ turn.mT))
    head = SimpleNamespace(faces=faces)
    views = [orthographic_view(points, faces, camera) for points in (moved.detach(), (moved @ turn.mT).detach())]
    cross = render_cross_view(torch.zeros(1, 3, 96, 96), *views, faces, 96, 96)
    points, valid = sliding_points(head, in_a, in_b, cross)
    plain = drawn_points(head, in_b, cross)
    assert torch.equal(points.detach(), plain.detach())
    seen = (cross.seen & (valid > 0))[..., None]
    assert seen.sum() > 1000
    away = torch.tensor([0.7, 0.2])  # any direction in which flow might point

    def slope(each, name):
        return torch.autograd.grad(((each * away).sum(-1, keepdim=True) * seen).sum(), free[name], retain_graph=True)[0]

    assert slope(points, "spin").norm() < 0.05 * slope(plain, "spin").norm()
    outwards = torch.autograd.grad((points * plain.detach() * seen).sum(), free["size"], retain_graph=True)[0]
    assert outwards.abs() > 1


def ball(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A unit sphere [1, N, 3] of side x side patches, anticlockwise from outside [F, 3]."""
    polar, around = torch.meshgrid(
        torch.linspace(0.02, torch.pi - 0.02, side), torch.linspace(0, 2 * torch.pi, side), indexing="ij"
    )
    vertices = torch.stack([polar.sin() * around.sin(), polar.cos(), polar.sin() * around.cos()], -1).view(1, -1, 3)
    k = torch.arange(side * side).view(side, side)
    a, b, c, d = (part.flatten() for part in (k[:-1, :-1], k[1:, :-1], k[:-1, 1:], k[1:, 1:]))
    return vertices, torch.cat([torch.stack([a, b, c], 1), torch.stack([c, b, d], 1)])


def card(*cosines: float, camera: torch.Tensor | None = None) -> tuple[SimpleNamespace, DecodedHeads]:
    """A flat square, as its own head model, and how views see it that look at it from angles of these cosines: from
    -0.8 to 0.8 up, in ndc, and `cosine` times as far across."""
    side = torch.linspace(-0.1, 0.1, 9)
    flat = torch.stack([*torch.meshgrid(side, side, indexing="xy"), torch.zeros(9, 9)], -1).view(-1, 3)
    k = torch.arange(81).view(9, 9)
    a, b, c, d = (part.flatten() for part in (k[:-1, :-1], k[:-1, 1:], k[1:, :-1], k[1:, 1:]))
    faces = torch.cat([torch.stack([a, b, c], 1), torch.stack([c, b, d], 1)])
    turn = torch.tensor([[0.0, 1.0, 0.0]]) * torch.tensor(cosines).acos()[:, None]
    vertices = (flat @ axis_angle_to_matrix(turn).mT)[None]  # [1, V, 81, 3]
    cameras = torch.tensor([8.0, 0, 0]).expand(1, len(cosines), 3) if camera is None else camera
    projected = project_orthographic(vertices[0], cameras[0])[None]
    landmarks, visible = torch.zeros(1, len(cosines), 68, 2), torch.ones(1, len(cosines), 68)
    heads = DecodedHeads(vertices, cameras, torch.ones(vertices.shape[:3]), projected, landmarks, visible)
    return SimpleNamespace(faces=faces, masks={"face": torch.ones(81, dtype=torch.bool)}), heads


def constant_photos(*values: float) -> torch.Tensor:
    return torch.tensor(values)[None, :, None, None, None].expand(1, len(values), 3, 64, 64)


def box(left: float, low: float, right: float, high: float) -> torch.Tensor:
    """Landmarks [68, 2] within a box, the first two at its corners."""
    points = torch.tensor([(left + right) / 2, (low + high) / 2]).repeat(68, 1)
    points[0], points[1] = torch.tensor([left, low]), torch.tensor([right, high])
    return points


class Watched:
    """An estimator that sees 3 px to the right everywhere and keeps what it was shown."""

    def __init__(self):
        self.shown = []

    def __call__(self, first, second):
        self.shown.append((first, second))
        return torch.tensor([3.0, 0.0])[None, :, None, None].expand(len(first), 2, *first.shape[-2:])


def card_loss(flame, heads, photos, detected, estimate=None, **changes) -> float:
    params = PARAMS.model_copy(update=changes)
    pair, estimate = torch.tensor([[0, 1]]), estimate or Watched()
    return MultiviewFlow(flame, params, estimate)(heads, photos, detected, pair).item()


def test_the_estimator_compares_view_bs_photograph_with_as_skin_laid_over_it():
    flame, heads = card(1.0, 0.7)
    watched = Watched()
    card_loss(flame, heads, constant_photos(0.25, 0.75), heads.landmarks, watched)
    ((drawn, photo),) = watched.shown
    assert (photo == 0.75).all()
    skin = torch.zeros(64, 64, dtype=torch.bool)
    skin[10:-10, 18:-18] = True  # well inside the card
    assert (drawn[..., skin] - 0.25).abs().max() < 1e-6
    skin[5:-5, 13:-13] = True  # all of the card
    assert (drawn[..., ~skin] == 0.75).all()


def test_the_box_of_eq_5_is_that_of_view_bs_landmarks_that_both_views_see():
    flame, heads = card(0.7, 1.0)
    detected = torch.stack([box(-0.1, -0.1, 0.1, 0.1), box(-0.5, -0.25, 0.25, 0.5)])[None]
    detected[0, 1, 2:4] = torch.tensor([[0.7, 0.7], [-0.7, -0.7]])
    heads.visible[0, 0, 2] = heads.visible[0, 1, 3] = 0
    watched = Watched()
    card_loss(flame, heads, constant_photos(1.0, 1.0), detected, watched, flow_gradient="through", mask="landmarks")
    expected = torch.zeros(64, 64)
    expected[16:40, 16:40] = 1  # y from 0.5 down to -0.25, x from -0.5 to 0.25
    for image in watched.shown[0]:
        torch.testing.assert_close(image, expected.expand(1, 3, 64, 64))


@pytest.mark.parametrize("route", ["target", "through"])
def test_cap_and_check_are_those_of_the_params(route):
    flame, heads = card(1.0, 0.7)

    def loss(**changes):
        return card_loss(flame, heads, constant_photos(0.5, 0.5), heads.landmarks, flow_gradient=route, **changes)

    assert loss(flow_cap=0.1) == pytest.approx(3 * 2 / 64)
    assert loss(flow_cap=0.09) == 0
    assert loss(flow_cap=0.1, flow_check=True) == 0  # the same flow both ways does not come back


def test_surface_that_view_a_sees_too_flatly_says_nothing():
    """In view b, which looks straight at it, it is 2 or 10 times as wide."""
    detected = box(-0.5, -0.5, 0.5, 0.5).expand(1, 2, 68, 2)
    for cosine, value in ((0.5, 3 * 2 / 64), (0.1, 0.0)):
        flame, heads = card(cosine, 1.0)
        found = card_loss(flame, heads, constant_photos(0.5, 0.5), detected, mask="landmarks", flow_cap=1.0)
        assert found == pytest.approx(value)


def test_a_shift_in_view_a_counts_as_far_as_it_is_seen_in_view_b():
    """p_b moves with its own camera, and against view a's: across, 0.9 / 0.6 times as far."""
    camera = torch.tensor([8.0, 0, 0]).repeat(1, 2, 1).requires_grad_()
    flame, heads = card(0.6, 0.9, camera=camera)
    views = [orthographic_view(heads.vertices[:, v], flame.faces, heads.cameras[:, v]) for v in (0, 1)]
    cross = render_cross_view(torch.zeros(1, 3, 64, 64), *views, flame.faces, 64, 64)
    points, valid = sliding_points(flame, heads.projected[:, 0], heads.projected[:, 1], cross)
    count = int((cross.raster.face_id > 0).sum())
    assert count > 1000 and valid[cross.raster.face_id > 0].all()
    for axis, ratio in ((0, 0.9 / 0.6), (1, 1.0)):
        (slope,) = torch.autograd.grad(points[..., axis].sum(), camera, retain_graph=True)
        shifts = slope[0, :, 1:] / (8.0 * count)
        expected = torch.zeros(2, 2)
        expected[:, axis] = torch.tensor([-ratio, 1.0])
        torch.testing.assert_close(shifts, expected, rtol=1e-4, atol=1e-4)


def test_drawn_points_stay_the_same_points_of_the_surface():
    """They move as far as the camera does, also where the raster could tell that pixels' centres do not."""
    camera = torch.tensor([8.0, 0, 0]).repeat(1, 2, 1).requires_grad_()
    flame, heads = card(0.6, 0.9, camera=camera)
    views = [orthographic_view(heads.vertices[:, v], flame.faces, heads.cameras[:, v]) for v in (0, 1)]
    cross = render_cross_view(torch.zeros(1, 3, 64, 64), *views, flame.faces, 64, 64)
    points = drawn_points(flame, heads.projected[:, 1], cross)
    (slope,) = torch.autograd.grad(points.sum(), camera)
    count = (cross.raster.face_id > 0).sum()
    torch.testing.assert_close(slope[0, :, 1:] / (8.0 * count), torch.tensor([[0.0, 0.0], [1.0, 1.0]]))


@pytest.mark.parametrize("kind", ["landmarks", "geometric"])
def test_masks_lie_inside_both_faces(flame, scene, kind):
    heads, batch = decode(flame, scene.truth), scene.batch
    items = torch.arange(4)
    for first, second in BOTH_WAYS:
        a, b = torch.full((4,), first), torch.full((4,), second)
        cross = draw_pair(flame, heads, batch.pixels(), items, a, b)
        mask = covisible_mask(
            flame, cross, batch.landmarks[:, second], heads.visible[:, first], heads.visible[:, second], kind
        ).bool()
        assert mask.flatten(1).any(1).all()
        skin_faces = comparable_faces(flame.faces, flame.masks)
        assert not (
            mask & ~region_of(cross.raster, skin_faces)
        ).any()  # inside the face drawn in b, mouth and eyes left out
        lips = interpolate(flame.masks["lips"].float()[:, None], cross.raster, flame.faces)[..., 0] > 0.99
        assert not (mask & lips).any()
        # And inside the face as view a draws it, but for what the box of eq. 5 takes in that a does not see.
        face_a = draw_pair(flame, heads, batch.pixels(), items, b, a).raster
        face_a = torch.nn.functional.max_pool2d(region_of(face_a, skin_faces).float(), 5, 1, 2)  # two pixels of slack
        grid = cross.source * torch.tensor([1.0, -1.0])
        inside = torch.nn.functional.grid_sample(face_a[:, None], grid, mode="nearest", align_corners=False)[:, 0]
        assert inside[mask].mean() > (0.99 if kind == "geometric" else 0.85)


@pytest.mark.parametrize(("inverse_distance", "tolerance"), [(0.0, 1e-5), (1.5, 2e-4)])
def test_drawn_points_are_the_centres_of_their_pixels(flame, scene, inverse_distance, tolerance):
    """With perspective but for what lies between mixing a triangle's corners in space and in the image."""
    heads, items = decode(flame, scene.truth.with_inverse_distance(inverse_distance)), torch.arange(4)
    cross = draw_pair(flame, heads, scene.batch.pixels(), items, 0 * items, items * 0 + 1)
    points = drawn_points(flame, heads.projected[:, 1], cross)
    x = (torch.arange(128) + 0.5) * PIXEL - 1
    centres = torch.stack(torch.meshgrid(x, -x, indexing="xy"), -1)
    head = cross.raster.face_id > 0
    off = (points - centres)[head].abs().amax(-1)
    assert off.max() < PIXEL and off.quantile(0.9) < tolerance  # coverage is decided on snapped vertices
    assert points[~head].abs().max() == 0


def test_pairs_join_the_frontal_view_with_each_side_both_ways():
    for step in range(4):
        pairs = [tuple(pair) for pair in cross_pairs(8, 3, step).tolist()]
        assert sorted(pairs) == sorted(2 * [*PAIRS[3]])
    assert [tuple(cross_pairs(1, 3, step)[0].tolist()) for step in range(4)] == [*PAIRS[3]]


def test_visibility_follows_the_head(flame):
    """Turned to the image's right the subject's right side is seen: right brow and contour, not the left ones."""
    zero = torch.zeros(1, 3)
    pose = torch.tensor([[[0.0, 0, 0], [0, -1.2, 0], [0, 1.2, 0]]])
    views = View(pose, torch.tensor([7.0, 0, 0]).expand(1, 3, 3), zero, zero[..., None], zero[..., None])
    codes = Prediction(Person(torch.zeros(1, flame.n_shape), torch.zeros(1, flame.n_expression), zero), views)
    frontal, left, right = decode(flame, codes).visible[0]
    assert frontal.mean() > 0.9 and frontal[27:31].all()
    assert right[:9].all() and not right[9:17].any() and right[36:42].sum() >= 3 and not right[26]
    assert left[8:17].all() and not left[:8].any() and left[42:48].sum() >= 3 and not left[17]
