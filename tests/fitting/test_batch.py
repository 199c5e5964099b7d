"""The benchmark's refiner: the same fits wherever they run, and answers that cannot be fitted are left alone."""

from dataclasses import fields, replace

import pytest
import torch

from mfnet.compute.executor import Compute
from mfnet.fitting.batch import Refiner, RefineTask, refine_people
from mfnet.fitting.refine import refine
from mfnet.flow import DisFlow
from mfnet.io.tensors import write_tensors
from mfnet.model.mfnet import Prediction, join
from tests.losses.scenes import procedural_flame, rendered_scene
from tests.settings import EMBEDDED


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    path = tmp_path_factory.mktemp("flow") / "flow.safetensors"
    write_tensors({"no_weights": torch.zeros(0)}, path, {"kind": "flow", "estimator": "dis"})
    return path


@pytest.fixture(scope="module")
def people():
    """Rough answers for two people, with their photographs and landmarks."""
    scene = rendered_scene()
    rough = scene.disturbed(0.3)
    shared = (getattr(rough, name)[:2, 0] for name in ("shape", "expression", "jaw_pose"))
    each = (getattr(rough, name)[:2] for name in ("global_pose", "camera", "albedo", "light"))
    return Prediction(*shared, *each), scene.batch.pixels()[:2], scene.batch.landmarks[:2]


@pytest.mark.slow
def test_workers_give_what_one_process_gives(flow, people, monkeypatch):
    """Person by person, in this process and in others: bit for bit the answer of `refine`."""
    flame, (answers, images, landmarks) = procedural_flame(), people
    monkeypatch.setattr("mfnet.fitting.batch.PEOPLE", 1)
    here, close = Refiner("dis", flow, EMBEDDED.refine)(flame, answers, images, landmarks)
    spread = Refiner("dis", flow, EMBEDDED.refine, Compute("local", 2))
    there, close_there = spread(flame, answers, images, landmarks)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = refine(
        flame, answers.map(lambda value: value[1:]), images[1], landmarks[1], DisFlow().flow, EMBEDDED.refine
    )
    torch.set_num_threads(threads)
    for name in (field.name for field in fields(Prediction)):
        assert torch.equal(getattr(here, name), getattr(there, name)), name
        assert torch.equal(getattr(here, name)[1:], getattr(alone.prediction, name)), name
    assert torch.equal(close, close_there) and torch.equal(close[1], alone.inverse_distance)
    assert not torch.allclose(here.shape, answers.shape, atol=0.05)


def test_an_answer_that_is_not_finite_stays(flow, people):
    answers, images, landmarks = people
    broken = replace(answers.map(lambda value: value[:1]), shape=torch.full_like(answers.shape[:1], torch.nan))
    ((left, close),) = refine_people(
        RefineTask(Refiner("dis", flow, EMBEDDED.refine), procedural_flame(), broken, images[:1], landmarks[:1])
    )
    assert left.shape.isnan().all() and torch.equal(left.camera, broken.camera) and not close.any()


def test_joined_predictions_keep_their_order(people):
    answers = people[0]
    again = join([answers.map(lambda value, row=row: value[row : row + 1]) for row in range(2)])
    assert all(torch.equal(getattr(again, field.name), getattr(answers, field.name)) for field in fields(Prediction))
