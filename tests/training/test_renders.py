"""Triplets that are kept are the ones that would be drawn."""

import os
import signal
import threading
import time

import torch

from mfnet.training import supervision
from mfnet.training.renders import KEPT, RenderStore
from mfnet.training.supervision import Supervision
from tests.conftest import HANGS
from tests.settings import EMBEDDED, having
from tests.training.conftest import changed

CPU = torch.device("cpu")


def supervise(flame, root, weight=1.0, **sampler) -> Supervision:
    config = having(EMBEDDED.train.supervision, skins=1, skin_size=32, weight=weight)
    params = changed(EMBEDDED, train={"batch_size": 2, "seed": 0}, triplets={"image_size": 32}, sampler=sampler)
    return Supervision(flame, config, params, 4, root)


def test_a_second_run_draws_nothing_and_sees_the_same(flame, tmp_path, monkeypatch):
    first = supervise(flame, tmp_path).draw(3, 0, CPU)
    monkeypatch.setattr(supervision, "texture_pool", None)  # it would be needed to draw
    second = supervise(flame, tmp_path, weight=2.0).draw(3, 0, CPU)
    assert list(first.named_tensors()) == list(second.named_tensors())
    for name, tensor in first.named_tensors().items():
        assert tensor.dtype == second.named_tensors()[name].dtype and tensor.equal(second.named_tensors()[name]), name


def test_what_another_process_draws_is_waited_for_and_later_steps_are_drawn_meanwhile(flame, tmp_path):
    drawn, sample = [], supervise(flame, tmp_path).draw(0, 0, CPU)
    store, (done, told), (held, holds) = RenderStore(tmp_path, "key"), os.pipe(), os.pipe()

    def draw(step):
        drawn.append(step)
        if step == 3:
            os.write(told, b"x")
        return sample

    def hold(step):
        os.write(holds, b"x")
        os.read(done, 1)
        return sample

    child = os.fork()
    if child == 0:  # the other process
        store.get(1, 0, hold, 4)
        os._exit(0)
    os.read(held, 1)
    assert store.get(1, 0, draw, 4).images.equal(sample.images)
    assert os.waitpid(child, 0)[1] == 0 and drawn == [2, 3]
    store.get(0, 0, draw, 4)
    assert drawn == [2, 3, 0]


def test_what_a_killed_process_was_drawing_is_drawn(flame, tmp_path):
    sample, store, (held, holds) = supervise(flame, tmp_path).draw(0, 0, CPU), RenderStore(tmp_path, "key"), os.pipe()

    def hold(step):
        os.write(holds, b"x")
        time.sleep(HANGS)

    child = os.fork()
    if child == 0:
        store.get(0, 0, hold, 1)
        os._exit(0)
    os.read(held, 1)
    threading.Timer(0.3, os.kill, (child, signal.SIGKILL)).start()
    assert store.get(0, 0, lambda step: sample, 1).images.equal(sample.images)
    os.waitpid(child, 0)


def test_other_random_heads_are_other_triplets(flame, tmp_path):
    one, other = (supervise(flame, tmp_path, pitch=pitch).draw(0, 0, CPU) for pitch in (14.0, 20.0))
    assert not one.images.equal(other.images)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_too_much_is_drawn_anew_and_not_kept(flame, tmp_path, monkeypatch):
    monkeypatch.setattr(supervision, "MOST_BYTES", 1000)
    triplets = [supervise(flame, tmp_path).draw(0, 0, CPU) for _ in range(2)]
    assert triplets[0].images.equal(triplets[1].images) and not list(tmp_path.iterdir())


def test_old_folders_go(tmp_path):
    for number in range(KEPT + 3):
        RenderStore(tmp_path, f"key{number}")
    assert len(list(tmp_path.iterdir())) == KEPT + 1
