"""The loop as a whole: what it writes, that it repeats itself, that it resumes, that it stops where it must."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from mfnet.datasets.triplets import TripletBatch
from mfnet.errors import InputError
from mfnet.model.mfnet import load_mfnet
from mfnet.training import loop
from mfnet.training.loop import train
from mfnet.training.trainer import NumericalError, Trainer
from tests.settings import PAPER_TERMS, having
from tests.training.conftest import changed

OUTS = ("model.safetensors", "metrics.json", "history.parquet")


def outs(folder) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTS}


class Killed(BaseException):
    """Stands for kill -9: nothing of ours may catch it."""


@pytest.fixture
def kill_at(monkeypatch):
    """Arrange that the process dies as it begins step `position`."""

    def arrange(position: int | None):
        step = Trainer.step

        def dying(self, batch, dump):
            if self.position == position:
                raise Killed
            return step(self, batch, dump)

        monkeypatch.setattr(Trainer, "step", dying)

    return arrange


def test_a_run_writes_model_metrics_and_history(params, flame, inputs, tmp_path):
    seen = []
    metrics = train(params, flame, inputs, tmp_path / "out", tmp_path / "kept", lambda *call: seen.append(call))
    history = pd.read_parquet(tmp_path / "out" / "history.parquet")
    assert history["step"].tolist() == list(range(6)) and history["epoch"].tolist() == [0, 0, 0, 1, 1, 1]
    weights = params.loss.model_dump()
    weighted = sum(weights[term] * history[term] for term in PAPER_TERMS)
    np.testing.assert_allclose(history["total"], weighted + history["supervised"], rtol=1e-5)
    shares = history[[f"share/{term}" for term in PAPER_TERMS]]
    assert shares.iloc[0].sum() == pytest.approx(1) and shares.iloc[1:].isna().all(None)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics
    assert metrics["steps"] == 6 and metrics["diverged"] == 0
    assert {f"val/{term}" for term in (*PAPER_TERMS, "landmark_px")} <= metrics.keys()
    assert not any("images_per_s" in name for name in metrics)  # times must not reach an artifact
    assert [step for step, _ in seen] == [3, 6] and seen[0][1]["images_per_s"] > 0
    model = load_mfnet(tmp_path / "out" / "model.safetensors", flame)
    assert model.params == params.model
    assert list((tmp_path / "kept").iterdir()) == []  # a finished run leaves no checkpoint


@pytest.mark.slow
def test_the_loss_falls(params, flame, inputs, tmp_path):
    """Over 16 epochs of 3 steps, so that the fall is larger than what last bits do to so short a run: the last four end
    at 0.75 of the first epoch's loss with AVX-512 and at 0.74 with AVX2, single epochs differ by 0.05."""
    params = changed(params, train={"epochs": 16, "lr": 1e-3})
    train(params, flame, inputs, tmp_path / "out", tmp_path / "kept")
    totals = pd.read_parquet(tmp_path / "out" / "history.parquet").groupby("epoch")["total"].mean()
    assert totals.iloc[-4:].mean() < 0.85 * totals.iloc[0]


@pytest.mark.slow
def test_equal_runs_give_equal_bytes_and_another_seed_does_not(params, flame, inputs, tmp_path):
    for name in ("a", "b"):
        train(params, flame, inputs, tmp_path / name, tmp_path / "kept")
    assert outs(tmp_path / "a") == outs(tmp_path / "b")
    train(changed(params, train={"seed": 7}), flame, inputs, tmp_path / "c", tmp_path / "kept")
    assert outs(tmp_path / "a")["model.safetensors"] != outs(tmp_path / "c")["model.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_run_that_was_killed_ends_with_the_same_bytes(params, flame, inputs, tmp_path, kill_at, monkeypatch, ema):
    """So does one beside it that is equal but for where it writes, as `train` and the variant `full` are."""
    params = changed(params, train={"ema": ema})
    for position in (1, 3, 5):  # before a checkpoint, at an epoch's end, within the second epoch
        kill_at(position)
        with pytest.raises(Killed):
            train(params, flame, inputs, tmp_path / "cut", tmp_path / "kept")
        monkeypatch.undo()
        assert not (tmp_path / "cut").exists()  # nothing half-written
    resumed_from = []
    monkeypatch.setattr(loop.tqdm, "write", resumed_from.append)
    train(params, flame, inputs, tmp_path / "whole", tmp_path / "kept")
    assert not resumed_from
    train(params, flame, inputs, tmp_path / "cut", tmp_path / "kept")
    assert "resuming at step 4 of 6" in resumed_from[0] and not list((tmp_path / "kept").iterdir())
    assert outs(tmp_path / "whole") == outs(tmp_path / "cut")


@pytest.mark.slow
def test_a_checkpoint_of_other_params_is_not_taken_up(params, flame, inputs, tmp_path, kill_at, monkeypatch):
    kill_at(5)
    with pytest.raises(Killed):
        train(params, flame, inputs, tmp_path / "cut", tmp_path / "kept")
    monkeypatch.undo()
    other = changed(params, loss={"eye": 0.5})
    train(other, flame, inputs, tmp_path / "other", tmp_path / "kept")
    train(other, flame, inputs, tmp_path / "alone", tmp_path / "elsewhere")
    assert outs(tmp_path / "other") == outs(tmp_path / "alone")


@pytest.mark.parametrize("views", [1, 2])
def test_fewer_views_train_on_the_same_triplets(params, flame, inputs, tmp_path, views):
    params = changed(params, model={"views": views}, train={"epochs": 1})
    metrics = train(params, flame, inputs, tmp_path / "out", tmp_path / "kept")
    assert metrics["steps"] == 3 and metrics["train/flow"] > 0
    assert load_mfnet(tmp_path / "out" / "model.safetensors", flame).params.views == views


@pytest.mark.parametrize("views", [1, 3])
def test_what_is_beyond_the_paper_joins_the_sum(params, flame, inputs, tmp_path, views):
    renders = having(params.train.supervision, share=0.4, skins=1, skin_size=64)
    loss = {"shape_consistency": 2.0, "photometric": 0.3}
    params = changed(
        params, loss=loss, train={"epochs": 1, "supervision": renders}, model={"fusion": "set", "views": views}
    )
    train(params, flame, inputs, tmp_path / "out", tmp_path / "kept")
    history = pd.read_parquet(tmp_path / "out" / "history.parquet")
    weights = params.loss.model_dump() | {"supervised": 1.0}
    terms = (*PAPER_TERMS, *loss, "supervised")
    np.testing.assert_allclose(history["total"], sum(weights[term] * history[term] for term in terms), rtol=1e-5)
    assert history[["shape_consistency", "photometric", "supervised"]].min(None) > 0


def test_a_removed_term_is_measured_but_does_not_teach(params, flame, inputs, tmp_path):
    params = changed(params, loss={"flow": 0.0}, train={"epochs": 1})
    metrics = train(params, flame, inputs, tmp_path / "out", tmp_path / "kept")
    assert "flow" not in pd.read_parquet(tmp_path / "out" / "history.parquet").columns
    assert metrics["val/flow"] > 0


def test_the_first_bad_batch_is_kept_and_the_run_stops(params, flame, inputs, tmp_path, monkeypatch):
    pixels = TripletBatch.pixels
    bad = 4

    def spoilt(self):
        images = pixels(self)
        images[self.triplet == bad] = torch.nan
        return images

    monkeypatch.setattr(TripletBatch, "pixels", spoilt)
    with pytest.raises(NumericalError, match=r"step \d+: .*not finite.*bad_batch\.pt") as caught:
        train(params, flame, inputs, tmp_path / "out", tmp_path / "kept")
    assert "\n" not in str(caught.value)
    (dump,) = (tmp_path / "kept").rglob("bad_batch.pt")
    held = torch.load(dump, weights_only=True)
    assert bad in held["triplet"].tolist() and held["images"].shape == (2, 3, 3, 128, 128)
    assert any(not np.isfinite(value) for value in held["terms"].values())
    assert not (tmp_path / "out").exists()


def test_a_diverging_run_stops_early_and_says_so(params, flame, inputs, tmp_path):
    wild = {"lr": 0.3, "clip": 1e9, "schedule": "constant", "epochs": 20, "divergence": 1.5, "warmup_steps": 0}
    metrics = train(changed(params, train=wild), flame, inputs, tmp_path / "out", tmp_path / "kept")
    assert metrics["diverged"] == 1 and metrics["steps"] < 60


def test_too_large_a_batch_is_refused(params, flame, inputs, tmp_path):
    with pytest.raises(InputError, match=r"train\.batch_size: 64 triplets .* shards hold 7"):
        train(changed(params, train={"batch_size": 64}), flame, inputs, tmp_path / "out", tmp_path / "kept")


def test_the_callers_head_stays_where_it_is(flame):
    """On the meta device, which every machine has in a GPU's place."""
    other = loop._on(torch.device("meta"), flame)
    assert other.faces.is_meta and all(tensor.is_meta for tensor in other.buffers())
    assert not any(tensor.is_meta for tensor in flame.buffers())
    assert loop._on(flame.faces.device, flame) is flame
