"""Where weights come from: every source ends in one file with figures; what does not fit is refused in one line."""

import json

import pytest
import torch

from mfnet.errors import InputError
from mfnet.flame import Flame
from mfnet.flow import RaftFlow, load_flow
from mfnet.io.tensors import write_tensors
from mfnet.landmarks.network import LandmarkNetwork, load_landmark_detector
from mfnet.model.pretrained import PretrainedNetwork, save_pretrained
from mfnet.params import Params
from mfnet.pretraining import weights
from scripts.release_weights import card
from tests.heads import open_head
from tests.settings import CROP_SCALE, EMBEDDED, FROM_SCRATCH


@pytest.fixture(scope="module")
def flame():
    return Flame(open_head(), 20, 10)


@pytest.fixture
def params():
    """The embedded profile, or from-scratch, with figures of a handful of people and other values at given keys."""

    def make(trained: bool = False, **changes) -> Params:
        raw = FROM_SCRATCH.model_dump() if trained else EMBEDDED.model_dump()
        raw["ablation"] = {"seeds": [0], "run": [], "variants": {}}
        people = {"encoder_subjects": 4, "flow_pairs": 8, "landmark_subjects": 4}
        changes = {f"pretrained__held_out__{name}": count for name, count in people.items()} | changes
        for path, value in changes.items():
            *sections, key = path.split("__")
            place = raw
            for section in sections:
                place = place[section]
            place[key] = value
        return Params.model_validate_json(json.dumps(raw))

    return make


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder that stands for the package's own."""
    monkeypatch.setattr(weights, "bundled", lambda network: tmp_path / f"{network}.safetensors")
    return tmp_path


def test_bundled_encoder_is_copied_byte_by_byte(flame, params, shelf, tmp_path):
    torch.manual_seed(0)
    chosen = params(model__width=0.25)
    save_pretrained(PretrainedNetwork(chosen.model, flame, CROP_SCALE), shelf / "encoder.safetensors", half=True)
    figures = weights.make_weights("encoder", chosen, flame, tmp_path / "out" / "encoder.safetensors")
    assert (tmp_path / "out" / "encoder.safetensors").read_bytes() == (shelf / "encoder.safetensors").read_bytes()
    assert figures["source"] == "bundled"
    assert figures["three_views_mm"] == pytest.approx(figures["mean_head_mm"], rel=0.05)  # untrained


def test_bundled_encoder_of_another_head_or_trunk_is_refused(flame, params, shelf, tmp_path):
    save_pretrained(
        PretrainedNetwork(params(model__width=0.25).model, flame, CROP_SCALE), shelf / "encoder.safetensors", half=True
    )
    with pytest.raises(
        InputError, match=r"model\.width is 0\.25, params ask for 0\.5; set pretrained\.encoder\.source: train"
    ):
        weights.make_weights("encoder", params(), flame, tmp_path / "out.safetensors")
    other = Flame(open_head(), 20, 9)
    with pytest.raises(
        InputError, match=r"n_expression is 10, the head in use has 9: set pretrained\.encoder\.source: train"
    ):
        weights.make_weights("encoder", params(model__width=0.25), other, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_nothing_shipped_is_one_clear_line():
    with pytest.raises(InputError, match=r"pretrained\.pose\.source: no pose weights are shipped; set it to train"):
        weights.bundled("pose")


def test_shipped_flow_is_of_one_estimator(flame, params, shelf, tmp_path):
    write_tensors({}, shelf / "flow.safetensors", {"kind": "flow", "estimator": "raft_small"})
    wanted = params(pretrained__flow__estimator="raft_large")
    with pytest.raises(InputError, match=r"holds raft_small, wanted is raft_large: set pretrained\.flow\.estimator"):
        weights.make_weights("flow", wanted, flame, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_flow_from_a_torchvision_file(flame, params, monkeypatch, tmp_path):
    torch.manual_seed(0)
    raft = RaftFlow("raft_small")
    torch.save(raft.network.state_dict(), tmp_path / "raft.pth")
    monkeypatch.setattr("mfnet.flow.CALIBRATION_LIMIT", 1e3)  # random weights
    source = {"source": "file", "path": str(tmp_path / "raft.pth"), "estimator": "raft_small"}
    source |= {"seed": 4, "supersample": 2}
    figures = weights.make_weights("flow", params(pretrained__flow=source), flame, tmp_path / "flow.safetensors")
    assert figures["source"] == "raft.pth" and figures["epe_raft_small_px"] > 0
    loaded = load_flow("raft_small", tmp_path / "flow.safetensors").network.state_dict()
    torch.testing.assert_close(loaded, raft.network.state_dict(), rtol=0, atol=0)


def test_torchvisions_flow_is_not_fetched_by_the_stage(flame, params, monkeypatch, tmp_path):
    monkeypatch.setenv("MFNET_ASSETS", str(tmp_path))
    source = {"source": "torchvision", "estimator": "raft_small", "seed": 4, "supersample": 2}
    with pytest.raises(InputError, match=r"no such file; mfnet assets get raft_small_C_T_V2-01064c6d\.pth"):
        weights.make_weights("flow", params(pretrained__flow=source), flame, tmp_path / "flow.safetensors")


def test_landmark_network_serves_any_head(flame, params, shelf, tmp_path):
    torch.manual_seed(0)
    write_tensors(LandmarkNetwork().state_dict(), shelf / "landmarks.safetensors", {"kind": "landmarks"})
    figures = weights.make_weights("landmarks", params(), flame, tmp_path / "out.safetensors")
    assert figures["error_px"] > 1  # untrained
    load_landmark_detector(tmp_path / "out.safetensors")
    absent = {"source": "file", "path": str(tmp_path / "absent.safetensors"), "seed": 5, "supersample": 1}
    missing = params(pretrained__landmarks=absent)
    with pytest.raises(InputError, match=r"absent\.safetensors: no such file"):
        weights.make_weights("landmarks", missing, flame, tmp_path / "out.safetensors")


def test_card_names_data_recipe_and_head(flame, params):
    trained = params(trained=True)
    config = trained.pretrained.encoder
    text = card("encoder", trained, flame, {"source": "train", "three_views_mm": 1.5})
    for part in (f"{config.steps} steps, seed {config.seed}", flame.content_hash, "| three_views_mm | 1.500 |"):
        assert part in text


def test_a_card_needs_params_that_train(flame, params):
    with pytest.raises(InputError, match=r"pretrained\.encoder\.source: bundled"):
        card("encoder", params(), flame, {"source": "train"})


@pytest.mark.parametrize("network", weights.NETWORKS)
def test_shipped_files_have_cards_with_their_head(network):
    """The card beside a shipped file is that file's: same head, same seed and steps."""
    from mfnet.io.tensors import read_tensors

    path = weights.bundled(network)
    _, metadata = read_tensors(path, network)
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert metadata["head_hash"] in text
    assert f"{metadata['steps']} steps, seed {metadata['seed']}" in text
    assert path.stat().st_size < 10e6
