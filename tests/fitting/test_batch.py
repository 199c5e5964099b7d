"""The benchmark's refiner: the same fits wherever they run, and predictions that cannot be fitted are left alone."""

import pytest
import torch

from mfnet.compute.executor import Compute
from mfnet.fitting.batch import Refiner, RefineTask, refine_people
from mfnet.fitting.refine import FlowEvidence, refine
from mfnet.flame import load_flame, write_head
from mfnet.flow import DisFlow
from mfnet.io.tensors import write_tensors
from tests.heads import open_head
from tests.losses.scenes import rendered_scene, with_codes
from tests.settings import EMBEDDED


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    path = tmp_path_factory.mktemp("flow") / "flow.safetensors"
    write_tensors({"no_weights": torch.zeros(0)}, path, {"kind": "flow", "estimator": "dis"})
    return path


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    path = tmp_path_factory.mktemp("head") / "head.npz"
    write_head(open_head(), path)
    return path


@pytest.fixture(scope="module")
def people():
    """Rough predictions for two people, with their photographs and landmarks."""
    scene = rendered_scene()
    return scene.disturbed(0.3)[:2], scene.batch.pixels()[:2], scene.batch.landmarks[:2]


@pytest.mark.slow
def test_workers_give_what_one_process_gives(head, flow, people, monkeypatch):
    """Person by person, in this process and in others: bit for bit the result of `refine`."""
    rough, images, landmarks = people
    monkeypatch.setattr("mfnet.fitting.batch.PEOPLE", 1)
    here = Refiner(head, "dis", flow, EMBEDDED.refine)(rough, images, landmarks)
    there = Refiner(head, "dis", flow, EMBEDDED.refine, Compute("local", 2))(rough, images, landmarks)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    flame = load_flame(head, n_shape=100, n_expression=50)
    alone = refine(flame, rough[1:], landmarks[1], FlowEvidence(DisFlow().flow, images[1]), EMBEDDED.refine)
    torch.set_num_threads(threads)
    others, one = there.named_tensors(), alone.prediction.named_tensors()
    for name, value in here.named_tensors().items():
        assert torch.equal(value, others[name]) and torch.equal(value[1:], one[name]), name
    assert here.views.inverse_distance.any()
    assert not torch.allclose(here.person.shape, rough.person.shape, atol=0.05)


def test_a_prediction_that_is_not_finite_stays(head, flow, people):
    rough, images, landmarks = people
    broken = with_codes(rough[:1], shape=torch.full_like(rough.person.shape[:1], torch.nan))
    refiner = Refiner(head, "dis", flow, EMBEDDED.refine)
    (left,) = refine_people(RefineTask(refiner, broken, images[:1], landmarks[:1]))
    assert left.person.shape.isnan().all() and torch.equal(left.views.camera, broken.views.camera)
    assert not left.views.inverse_distance.any()
