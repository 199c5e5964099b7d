"""One step against the plain loop that it stands for; the watch; what a network is shown; figures of validation."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mfnet.losses.supervised import FaceLosses
from mfnet.model.parameters import Person, Prediction, View
from mfnet.training.distributed import Process
from mfnet.training.schedule import learning_rate
from mfnet.training.supervision import Supervision
from mfnet.training.trainer import NumericalError, Trainer, views_of
from mfnet.training.validation import landmark_pixels
from tests.losses.scenes import rendered_scene
from tests.losses.test_multiview import PARAMS
from tests.settings import EMBEDDED, PAPER_TERMS, having
from tests.training.conftest import changed

ALONE = Process(0, 1, torch.device("cpu"))
STEPS = 4


class Line(torch.nn.Module):
    """A network of two weights: brightness of each view -> the camera's scale; all else is zero."""

    def __init__(self, views: int = 3):
        super().__init__()
        self.params = SimpleNamespace(views=views)
        self.weight = torch.nn.Parameter(torch.tensor([3.0, -2.0]))

    def forward(self, images):
        scale = images.mean((2, 3, 4)) * self.weight[0] + self.weight[1]
        camera = scale[..., None] * torch.tensor([1.0, 0.0, 0.0])
        person, view, light = 0 * camera[:, 0], 0 * camera, 0 * camera[:, :, None].expand(-1, -1, 9, -1)
        return Prediction(Person(person, person, person), View(view, camera, torch.zeros_like(scale), view, light))


class Scale:
    """An objective of one term, the camera's scale squared, weighted by 3."""

    params = PARAMS.model_copy(update=dict.fromkeys(PAPER_TERMS, 0.0) | {"landmarks": 3.0})

    def __call__(self, prediction, batch, position, model=None):
        return {"landmarks": prediction.views.camera[..., 0].square().mean()}


@pytest.fixture(scope="module")
def scene_batch():
    return rendered_scene().batch


@pytest.fixture
def settings(params):
    settings = {"lr": 0.1, "clip": 0.5, "weight_decay": 0.3, "ema": 0.6, "warmup_steps": 2, "schedule": "cosine"}
    return changed(params, train=settings).train


def test_steps_are_those_of_adamw_with_clipping_a_schedule_and_an_average(settings, scene_batch, tmp_path):
    trainer = Trainer(Line(), Scale(), settings, STEPS, ALONE)
    plain = Line()
    optimiser = torch.optim.AdamW([plain.weight], lr=0.1, weight_decay=0.3)
    average = None
    for position in range(STEPS):
        row = trainer.step(scene_batch, tmp_path / "bad.pt")
        optimiser.param_groups[0]["lr"] = learning_rate(position, STEPS, 0.1, 2, "cosine")
        loss = 3 * plain(scene_batch.pixels()).views.camera[..., 0].square().mean()
        optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([plain.weight], 0.5)
        optimiser.step()
        now = plain.weight.detach().clone()
        average = now if average is None else 0.6 * average + 0.4 * now
        assert row["total"] == pytest.approx(loss.item()) and row["grad_norm"] == pytest.approx(norm.item())
        assert row["lr"] == optimiser.param_groups[0]["lr"] and norm > 0.5
        torch.testing.assert_close(trainer.model.weight, plain.weight)
        torch.testing.assert_close(trainer.result.weight.detach(), average)
    last = Trainer(Line(), Scale(), settings.model_copy(update={"ema": 0.0}), STEPS, ALONE)
    assert last.result is last.model


@pytest.mark.parametrize("views", [1, 3])
def test_supervised_renders_come_after_the_triplets_and_join_the_sum_once(settings, scene_batch, tmp_path, views):
    """Two white triplets go along; their loss looks at them alone, the objective at the photographs alone."""
    shown = []

    class White:
        def draw(self, position, rank, device):
            return SimpleNamespace(images=torch.full((2, 3, 3, 128, 128), 255, dtype=torch.uint8))

        def loss(self, prediction, sample):
            shown.append(prediction.views.camera[..., 0].flatten())
            return shown[-1].mean()

    class Kept(Scale):
        def __call__(self, prediction, batch, position, model=None):
            shown.append(prediction.views.camera[..., 0])
            return super().__call__(prediction, batch, position)

    row = Trainer(Line(views), Kept(), settings, STEPS, ALONE, White()).step(scene_batch, tmp_path / "bad.pt")
    white, photographs = shown
    torch.testing.assert_close(white, torch.ones(6))  # 3 x 1 - 2
    torch.testing.assert_close(photographs, 3 * scene_batch.pixels().mean((2, 3, 4)) - 2)
    assert row["total"] == pytest.approx(3 * photographs.square().mean().item() + 1) and row["supervised"] == 1


def test_a_single_view_network_sees_each_photograph_of_each_person_in_turn():
    images = torch.arange(12.0).view(4, 3, 1, 1, 1).expand(4, 3, 3, 2, 2)
    alone = views_of(images, 1)
    assert alone.shape == (12, 1, 3, 2, 2) and torch.equal(alone[:, 0, 0, 0, 0], torch.arange(12.0))
    assert torch.equal(views_of(images, 2), images[:, :2]) and torch.equal(views_of(images, 3), images)
    person, view = torch.arange(12.0)[:, None], torch.arange(12.0).view(12, 1, 1)
    prediction = Prediction(Person(person, person, person), View(view, view, view[..., 0], view, view[..., None]))
    for value in prediction.per_view(4).tensors():
        assert torch.equal(value.flatten(), torch.arange(12.0)) and value.shape[:2] == (4, 3)


def test_the_watch_compares_the_running_loss_with_its_best(settings):
    """0.9 of the past and 0.1 of the present; divergence is a multiple of the best."""
    trainer = Trainer(Line(), Scale(), settings.model_copy(update={"divergence": 2.0}), STEPS, ALONE)
    for total, running in ((10.0, 10.0), (5.0, 9.5), (90.0, 17.55), (100.0, 25.795)):
        trainer._watch(total)
        assert trainer.running == pytest.approx(running)
        assert trainer.diverged == (running > 2 * 9.5)


class Waits(TorchDispatchMode):
    """Counts how often a value is asked of the device: item(), bool(), float()."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_the_guard_waits_once_for_the_device_however_many_terms_there_are(settings, scene_batch, tmp_path):
    trainer = Trainer(Line(), Scale(), settings, STEPS, ALONE)
    values = {f"term {number}": torch.tensor(float(number)) for number in range(8)}
    with Waits() as waits:
        trainer._guard(values, scene_batch, tmp_path / "bad.pt")
    assert waits.count == 1
    with pytest.raises(NumericalError, match="term 3 not finite"):
        trainer._guard(values | {"term 3": torch.tensor(torch.nan)}, scene_batch, tmp_path / "bad.pt")


@pytest.fixture(scope="module")
def supervised(flame, tmp_path_factory):
    config = having(EMBEDDED.train.supervision, skins=1, skin_size=64)
    params = changed(EMBEDDED, train={"batch_size": 2, "seed": 0}, triplets={"image_size": 64})
    return Supervision(flame, config, params, 1, tmp_path_factory.mktemp("renders"))


@pytest.mark.parametrize("views", [1, 2, 3])
def test_supervision_is_the_face_loss_in_ndc_of_the_views_that_are_shown(flame, supervised, views):
    this = copy.copy(supervised)
    this.views = views
    truth = this.draw(0, 0, torch.device("cpu"))
    assert len(truth.images) == 2  # half of all triplets are renders
    torch.testing.assert_close(truth.tensors(), this.draw(0, 0, torch.device("cpu")).tensors())
    seen = truth.as_single_views() if views == 1 else truth.first_views(views)
    noise = torch.Generator().manual_seed(0)
    moved = Prediction(seen.person, seen.views).map(
        lambda value: value + 0.1 * torch.randn(value.shape, generator=noise)
    )
    expected = FaceLosses(flame, EMBEDDED.supervised).of_model(moved, seen) * 2 / 128
    torch.testing.assert_close(this.loss(moved, truth), expected)


def test_landmark_pixels_are_euclidean_over_what_is_seen(scene_batch):
    """3 pixels across and 4 down, in crops of 128 pixels."""
    off = torch.tensor([3.0, -4.0]) * 2 / 128
    visible = torch.ones(4, 2, 68)
    visible[..., :17] = 0
    points = scene_batch.landmarks[:, :2] + off
    points[..., :17, :] += 1.0
    heads = SimpleNamespace(landmarks=points, visible=visible)
    assert landmark_pixels(heads, scene_batch).item() == pytest.approx(5, rel=1e-4)
