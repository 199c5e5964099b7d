"""Where the pre-trained networks come from: shipped with the package, trained here, or an official file.

Every source ends in the same file format and with figures measured anew on held-out renders of the head in use.
"""

import shutil
from pathlib import Path

from mfnet import assets
from mfnet.flame import Flame
from mfnet.flow import load_flow, raft_state
from mfnet.io.files import atomic_path
from mfnet.io.tensors import halved, head_metadata, write_tensors
from mfnet.landmarks.network import load_landmark_detector
from mfnet.model.deca import pretrained_from_deca
from mfnet.model.pretrained import load_pretrained, require_same_trunk, save_pretrained
from mfnet.params import (
    Bundled,
    BundledFlow,
    EncoderTraining,
    FlowTraining,
    LandmarkTraining,
    Params,
    TorchvisionFlow,
    WeightsFile,
)
from mfnet.pretraining.encoder import measure_encoder, pretrain_encoder
from mfnet.pretraining.flow import measure_flow, pretrain_flow
from mfnet.pretraining.landmarks import measure_landmarks, pretrain_landmarks
from mfnet.weights import bundled

Figures = dict[str, float | str]
Source = Bundled | WeightsFile | TorchvisionFlow | EncoderTraining | FlowTraining | LandmarkTraining
"""What ``pretrained.<network>`` may be (BundledFlow is a Bundled, FlowFile a WeightsFile)."""
NETWORKS = ("encoder", "flow", "landmarks")


def make_weights(network: str, params: Params, flame: Flame, out: Path) -> Figures:
    """Write the weights of one of NETWORKS to `out` as ``pretrained.<network>`` says -> held-out figures.

    Raises InputError if the source does not exist, is no such network, or does not fit params or head.
    """
    make = {"encoder": encoder_weights, "flow": flow_weights, "landmarks": landmark_weights}[network]
    return {"source": source_label(getattr(params.pretrained, network))} | make(params, flame, out)


def source_label(wanted: Source) -> str:
    """The source as figures name it: a file by its name alone, so that equal files give equal figures anywhere."""
    return Path(wanted.path).name if isinstance(wanted, WeightsFile) else wanted.source


def encoder_weights(params: Params, flame: Flame, out: Path) -> dict[str, float]:
    """MFNet's start: shipped, trained here, or from DECA's ``deca_model.tar``."""
    wanted = params.pretrained.encoder
    if isinstance(wanted, Bundled):
        start = load_pretrained(bundled("encoder"), flame, "set pretrained.encoder.source: train")
        require_same_trunk(start, params.model, bundled("encoder"))
        copy(bundled("encoder"), out)
    elif isinstance(wanted, EncoderTraining):
        start, _ = pretrain_encoder(params, wanted, flame)
        save_pretrained(start, out, half=True, seed=wanted.seed, steps=wanted.steps)
    else:
        save_pretrained(
            pretrained_from_deca(wanted.path, params.model, flame), out, half=False, source=source_label(wanted)
        )
    start = load_pretrained(out, flame).eval()  # measured as stored
    return measure_encoder(start, flame, params)


def flow_weights(params: Params, flame: Flame, out: Path) -> Figures:
    """The RAFT of ``pretrained.flow.estimator``. The shipped RAFT-small serves any head: the figures say how well."""
    wanted = params.pretrained.flow
    name = wanted.estimator
    metadata = {"kind": "flow", "estimator": name}
    if isinstance(wanted, BundledFlow):
        load_flow(name, bundled("flow"))  # refuses another estimator
        copy(bundled("flow"), out)
    elif isinstance(wanted, FlowTraining):
        estimator, _ = pretrain_flow(params, wanted, flame)
        recipe = {"seed": wanted.seed, "steps": wanted.steps}
        recipe |= {"updates": estimator.updates, "enlarge": estimator.enlarge}
        metadata |= head_metadata(flame) | recipe
        write_tensors(halved(estimator.network.state_dict()), out, metadata)
    elif isinstance(wanted, TorchvisionFlow):
        write_tensors(raft_state(name, assets.checked(assets.RAFT[name])), out, metadata)
    else:
        write_tensors(raft_state(name, wanted.path), out, metadata)
    return {"estimator": name} | measure_flow(load_flow(name, out), flame, params)


def landmark_weights(params: Params, flame: Flame, out: Path) -> dict[str, float]:
    """The embedded landmark network: shipped (it serves any head, the figures say how well), trained here, or a file.

    A file is one that this stage wrote. FAN's own weights belong to ``landmarks.fan_weights``.
    """
    wanted = params.pretrained.landmarks
    if isinstance(wanted, LandmarkTraining):
        network, _ = pretrain_landmarks(params, wanted, flame)
        metadata = {"kind": "landmarks", **head_metadata(flame), "seed": wanted.seed, "steps": wanted.steps}
        write_tensors(halved(network.state_dict()), out, metadata)
    else:
        path = bundled("landmarks") if isinstance(wanted, Bundled) else Path(wanted.path)
        load_landmark_detector(path)  # refuses what is not ours
        copy(path, out)
    return measure_landmarks(load_landmark_detector(out).network, flame, params)


def copy(source: Path, out: Path) -> None:
    """Copy a file's content, atomically."""
    with atomic_path(out) as beside:
        shutil.copyfile(source, beside)
