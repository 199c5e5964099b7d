"""Expressions do to the landmarks what their names say."""

import numpy as np
import pytest
import torch

from mfnet.synthetic.capture.expressions import EXPRESSIONS, expression_coefficients


@pytest.fixture(scope="module")
def shift(flame):
    """Landmark movements [68, 3] in mm of an expression against neutral."""

    def landmarks(name):
        expression, jaw = (torch.from_numpy(a)[None] for a in expression_coefficients(flame, name))
        return flame(torch.zeros(1, flame.n_shape), expression, torch.zeros(1, 3), jaw_pose=jaw).landmarks_full[0]

    neutral = landmarks("neutral")
    return {name: 1000 * (landmarks(name) - neutral).numpy() for name in EXPRESSIONS}


def test_neutral_is_at_rest(flame):
    expression, jaw = expression_coefficients(flame, "neutral")
    assert not expression.any() and not jaw.any()


def test_a_smile_draws_the_corners_of_the_mouth_up_and_apart(shift):
    smile = shift["smile"]
    assert smile[48, 0] < -1.5 and smile[54, 0] > 1.5 and min(smile[48, 1], smile[54, 1]) > 1


@pytest.mark.parametrize("name, least", [("surprise", 8), ("scream", 14)])
def test_mouths_open(shift, name, least):
    assert shift[name][62, 1] - shift[name][66, 1] > least


def test_surprise_raises_the_brows_and_squinting_narrows_the_eyes(shift):
    assert shift["surprise"][17:27, 1].mean() > 1.5
    for upper, lower in ((37, 41), (44, 46)):
        assert shift["squint"][upper, 1] - shift["squint"][lower, 1] < -1


def test_disgust_raises_the_upper_lip(shift):
    assert shift["disgust"][[50, 51, 52], 1].mean() > 1


def test_coefficients_stay_within_what_a_face_can_do(flame):
    for name in EXPRESSIONS:
        assert np.abs(expression_coefficients(flame, name)[0]).max() < 4
