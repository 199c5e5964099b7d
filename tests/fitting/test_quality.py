"""Residuals, what is said of them, and the verdict."""

import dataclasses

import pytest
import torch

from mfnet.fitting.evidence import Known
from mfnet.fitting.noise import same_everywhere
from mfnet.fitting.quality import (
    DOUBTFUL_PX,
    ODD_SHAPE,
    REFUSED_PX,
    ViewFit,
    judge,
    network_slots,
    oddness,
    residuals,
    view_fits,
)
from tests.losses.scenes import rendered_scene
from tests.settings import EMBEDDED

GOOD = ViewFit(yaw=3.0, residual_px=1.0, residual_mm=1.4, disagreeing=[])


def test_the_residual_is_the_distance_of_the_landmarks(flame):
    scene = rendered_scene()
    truth, landmarks = scene.truth[:1], scene.batch.landmarks[0]
    moved = landmarks + torch.tensor([3.0, 4.0]) / 64  # 5 px of 128
    noise = same_everywhere(EMBEDDED.refine, 3)
    exact, off = view_fits(flame, truth, landmarks, Known(noise)), view_fits(flame, truth, moved, Known(noise))
    for view, (near, far) in enumerate(zip(exact, off, strict=True)):
        scale = float(truth.views.camera[0, view, 0])
        assert near.residual_px < 0.5 and far.residual_px == pytest.approx(5, abs=0.5)
        assert far.residual_mm == pytest.approx(1000 * far.residual_px / 64 / scale, rel=1e-4)
    torch.testing.assert_close(residuals(flame, truth, moved), torch.tensor([view.residual_px for view in off]))


def test_a_landmark_that_is_elsewhere_is_named(flame):
    scene = rendered_scene()
    landmarks = scene.batch.landmarks[0].clone()
    landmarks[0, 50] += 0.3
    frontal, *others = view_fits(flame, scene.truth[:1], landmarks, Known(same_everywhere(EMBEDDED.refine, 3)))
    assert 50 in frontal.disagreeing and "mouth (1 of 20)" in frontal.disagreement
    assert all(50 not in view.disagreeing for view in others)


@pytest.mark.parametrize(("yaw", "name"), [(-4, "frontal"), (25, "right"), (-60, "left")])
def test_views_are_named_by_where_the_camera_stood(yaw, name):
    assert dataclasses.replace(GOOD, yaw=yaw).name == name


def test_the_network_is_given_its_slots_in_whatever_order_the_photographs_come():
    assert network_slots([-30.0, 2.0, 40.0]) == [1, 0, 2]
    assert network_slots([40.0, -30.0, 2.0]) == [2, 1, 0]


@pytest.mark.parametrize("turned", [[0.0], [0.0, -30.0], [0.0, 30.0, 50.0], [1.0, 2.0, -3.0], [0.0, -30.0, 30.0, 40.0]])
def test_other_sets_of_views_are_not_for_the_network(turned):
    assert network_slots(turned) is None


def test_verdicts_follow_the_worst_view():
    far, lost = (dataclasses.replace(GOOD, residual_px=limit + 0.1) for limit in (DOUBTFUL_PX, REFUSED_PX))
    assert judge([GOOD], 0.5) == ("good", [])
    for views, verdict in (([GOOD, far], "doubtful"), ([lost, GOOD], "refused")):
        found, reasons = judge(views, 0.5)
        assert found == verdict and len(reasons) == 1 and "photograph" in reasons[0]


@pytest.mark.parametrize("broken", [{"residual_px": float("nan")}, {"yaw": 170.0}, {"yaw": float("nan")}])
def test_what_is_no_head_at_all_is_refused(broken):
    assert judge([dataclasses.replace(GOOD, **broken)], 0.5)[0] == "refused"


def test_an_odd_shape_is_doubtful():
    verdict, reasons = judge([GOOD], ODD_SHAPE + 0.1)
    assert verdict == "doubtful" and "shape" in reasons[0]


def test_people_of_the_prior_are_not_odd_however_little_was_seen():
    """A coefficient measured with noise n is fitted as x / (1 + n^2), with variance n^2 / (1 + n^2)."""
    generator = torch.Generator().manual_seed(0)
    for noise in (0.1, 1.0, 4.0):
        truth, error = torch.randn(2, 20_000, generator=generator)
        fitted = (truth + noise * error) / (1 + noise**2)
        sigma = torch.full_like(fitted, (noise**2 / (1 + noise**2)) ** 0.5)
        assert oddness(fitted, sigma) == pytest.approx(1, abs=0.05)
        assert oddness(3 * fitted, sigma) == pytest.approx(3, abs=0.15)
