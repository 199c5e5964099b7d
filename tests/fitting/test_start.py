"""The mean head posed by landmarks."""

import torch

from mfnet.fitting.refine import refine
from mfnet.fitting.start import from_mean, mean_start, yaws
from mfnet.model.projection import decode
from mfnet.pretraining.figures import decode_face, face_error
from tests.losses.scenes import rendered_scene
from tests.settings import EMBEDDED


def test_the_mean_head_is_posed_as_the_person_is(flame):
    scene = rendered_scene()
    landmarks = scene.batch.landmarks[0]
    start = mean_start(flame, landmarks)
    person = start.person
    assert not torch.cat([person.shape, person.expression, person.jaw_pose], 1).any()
    assert person.shape.shape == (1, flame.n_shape) and start.views.camera.shape == (1, 3, 3)
    assert (yaws(start) - scene.batch.yaw[0]).abs().max() < 8
    assert (decode(flame, start).landmarks[0] - landmarks).norm(dim=-1).mean() < 0.08  # 5 px of 128


def test_a_fit_from_the_mean_head_comes_nearer_to_the_person(flame):
    scene = rendered_scene()
    landmarks = scene.batch.landmarks[0]
    start = mean_start(flame, landmarks)
    found = refine(flame, start, landmarks, None, from_mean(EMBEDDED.refine)).prediction
    mean, fitted = (
        face_error(decode_face(flame, each.person), decode_face(flame, scene.truth.person[:1])).item()
        for each in (start, found)
    )
    assert fitted < 0.6 * mean
