"""The fit of one person: where it starts, what takes part, and what it is worth."""

import pytest
import torch

from mfnet.errors import InputError
from mfnet.fitting.person import FitChoices, Measured, choose_start, fit_person, unfitted
from mfnet.fitting.start import mean_start
from mfnet.flow import DisFlow
from tests.losses.scenes import rendered_scene
from tests.settings import EMBEDDED, having

SETTINGS = having(EMBEDDED.refine, iterations=3, flow_iterations=1, spacing=8)


@pytest.fixture(scope="module")
def scene():
    return rendered_scene()


@pytest.fixture(scope="module")
def measured(scene):
    return Measured(scene.batch.pixels()[0], scene.batch.landmarks[0], "annotations")


def test_auto_takes_the_start_whose_landmarks_lie_nearer(flame, scene, measured):
    predicted = scene.truth[:1]
    chosen, name = choose_start(flame, measured.landmarks, predicted, "auto")
    assert chosen is predicted and name == "network"
    assert choose_start(flame, measured.landmarks, scene.disturbed(3.0)[:1], "auto")[1] == "mean"
    assert choose_start(flame, measured.landmarks, None, "auto")[1] == "mean"
    assert choose_start(flame, measured.landmarks, scene.truth[:1], "mean")[1] == "mean"


def test_a_network_that_is_not_there_cannot_be_the_start(flame, measured):
    with pytest.raises(InputError, match="network"):
        choose_start(flame, measured.landmarks, None, "network")


def test_a_person_is_fitted_well_from_the_mean_head(flame, measured):
    fit = fit_person(flame, measured, None, None, SETTINGS)
    assert (fit.start, fit.flow, fit.verdict, fit.reasons) == ("mean", False, "good", [])
    assert fit.vertex_sigma is not None and len(fit.views) == 3
    assert [view.name for view in fit.views] == ["frontal", "left", "right"]


def test_any_number_of_views_is_fitted_with_flow(flame, scene):
    """Four views: the three and one of them again."""
    rows = [0, 1, 2, 1]
    measured = Measured(scene.batch.pixels()[0, rows], scene.batch.landmarks[0, rows], "annotations")
    fit = fit_person(flame, measured, scene.truth[:1].of_view(0), None, SETTINGS, FitChoices("mean"))
    assert len(fit.views) == 4 and fit.verdict == "good"
    assert fit.views[1].yaw == pytest.approx(fit.views[3].yaw, abs=1)


def test_flow_that_pulls_the_landmarks_away_is_left_out(flame, measured):
    def nonsense(a, b):
        return torch.full_like(a[:, :2], 7.0)

    fits = [fit_person(flame, measured, None, estimate, SETTINGS) for estimate in (None, nonsense, DisFlow().flow)]
    assert [fit.flow for fit in fits] == [False, False, True]
    torch.testing.assert_close(fits[0].prediction.person.shape, fits[1].prediction.person.shape)


def test_landmarks_of_no_face_are_refused(flame, measured):
    generator = torch.Generator().manual_seed(0)
    scattered = torch.rand(3, 68, 2, generator=generator) * 2 - 1
    fit = fit_person(flame, Measured(measured.images, scattered, "annotations"), None, None, SETTINGS)
    assert fit.verdict == "refused" and fit.reasons and all(view.disagreeing for view in fit.views)


def test_an_answer_as_it_is_has_residuals_and_no_uncertainty(flame, scene, measured):
    found = unfitted(flame, measured, mean_start(flame, measured.landmarks), SETTINGS)
    assert found.vertex_sigma is None and found.views[0].residual_px > 0
