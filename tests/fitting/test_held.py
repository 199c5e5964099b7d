"""Cameras that are held."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mfnet.errors import InputError
from mfnet.fitting.held import place
from mfnet.fitting.person import FitChoices, fit_person
from mfnet.fitting.start import mean_start
from tests.fitting.rig import PLACE, TURN, of_no_unit, rig_scene
from tests.settings import EMBEDDED

CHOICES = FitChoices("mean", "68", "shared")


@pytest.fixture(scope="module")
def scene(flame):
    return rig_scene(flame)


def face_error(flame, fit, scene) -> float:
    """Mean distance of the face's vertices in the cameras' world, mm."""
    person = fit.prediction.person
    out = flame(person.shape, person.expression, torch.zeros(1, 3), jaw_pose=person.jaw_pose)
    placed = fit.placement.placed(out.vertices[0].double().numpy(), out.joints[0, 0].double().numpy())
    return float(np.linalg.norm(placed - scene.vertices, axis=1)[flame.masks["face"].numpy()].mean())


@pytest.mark.parametrize("known_unit", [True, False])
def test_the_head_stands_where_it_stood_before_the_cameras(flame, scene, known_unit):
    cameras = scene.cameras if known_unit else of_no_unit(scene.cameras)
    fit = fit_person(flame, scene.measured(cameras), None, None, EMBEDDED.refine, CHOICES)
    assert fit.verdict == "good" and max(view.residual_px for view in fit.views) < 0.3
    assert face_error(flame, fit, scene) < 2
    assert fit.placement.scale == (1000 if known_unit else pytest.approx(1000, rel=0.1))


def test_the_mean_head_is_placed_near_the_person(flame, scene):
    measured = scene.measured()
    placed = place(flame, mean_start(flame, measured.landmarks), measured.rig)
    np.testing.assert_allclose(placed.shift, PLACE, atol=20)  # mm: roots lie elsewhere in other people
    np.testing.assert_allclose(placed.rotation, TURN, atol=0.05)


@pytest.mark.parametrize("fault", ["order", "axes", "size", "unit"])
def test_cameras_that_are_not_the_photographs_own_are_refused(flame, scene, fault):
    turned = np.diag([1.0, -1, -1])
    wrong = {
        "order": [scene.cameras[row] for row in (0, 2, 1)],
        "axes": [replace(camera, R=turned @ camera.R, t=turned @ camera.t) for camera in scene.cameras],
        "size": [replace(camera, K=np.diag([0.5, 0.5, 1]) @ camera.K) for camera in scene.cameras],
        "unit": [replace(camera, unit="m") for camera in scene.cameras],
    }[fault]
    with pytest.raises(InputError, match="cameras: in photograph"):
        fit_person(flame, scene.measured(wrong), None, None, EMBEDDED.refine, CHOICES)
