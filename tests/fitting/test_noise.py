"""The table of landmark noise, and the noise of a person's views."""

import pytest
import torch

from mfnet.fitting.noise import (
    OPENINGS,
    PAIRS,
    REGIONS,
    SIGMAS,
    YAWS,
    landmark_noise,
    same_everywhere,
)
from mfnet.landmarks.ibug import N_CONTOUR, N_LANDMARKS
from tests.settings import EMBEDDED

SETTINGS = EMBEDDED.refine


def test_regions_and_openings_hold_every_point_once():
    assert sorted(point for members in REGIONS.values() for point in members) == list(range(N_LANDMARKS))
    assert sorted(row for members in OPENINGS.values() for row in members) == list(range(len(PAIRS)))


@pytest.mark.parametrize("detector", sorted(SIGMAS))
def test_the_table_is_complete_and_grows_with_the_yaw(detector):
    table = SIGMAS[detector]
    assert table.keys() == REGIONS.keys() | OPENINGS.keys()
    for row in table.values():
        assert len(row) == len(YAWS) + 1 and list(row) == sorted(row) and row[0] > 0


def test_a_view_from_the_side_is_believed_less_and_both_sides_alike():
    noise = landmark_noise("mediapipe", torch.tensor([0.0, 30.0, -30.0, 70.0]), SETTINGS)
    assert noise.points.shape == (4, N_LANDMARKS) and noise.openings.shape == (4, len(PAIRS))
    assert (noise.points[1] > noise.points[0]).all() and (noise.points[3] > noise.points[1]).all()
    assert torch.equal(noise.points[1], noise.points[2]) and torch.equal(noise.openings[1], noise.openings[2])


def test_a_detector_that_was_not_measured_has_the_noise_of_the_settings():
    noise = landmark_noise("annotations", torch.zeros(2), SETTINGS)
    for found, wanted in zip(noise, same_everywhere(SETTINGS, 2), strict=True):
        assert torch.equal(found, wanted)
    assert (noise.points[:, :N_CONTOUR] == SETTINGS.contour).all()
    assert (noise.points[:, N_CONTOUR:] == SETTINGS.landmark).all()
