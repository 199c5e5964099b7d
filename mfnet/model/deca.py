"""DECA's released encoder as a start of MFNet.

DECA (Feng et al. 2021) regresses 236 numbers from one 224 px crop in [0, 1], without ImageNet normalisation: ResNet-50,
average pooling, linear 2048-1024, ReLU, linear 1024-236. MFNet at ``views: 1`` has exactly these parts; with more
views the first fused layer is DECA's divided by their number, so that equal images give DECA's own answer.
"""

from pathlib import Path

import torch

from mfnet.errors import InputError
from mfnet.flame import Flame
from mfnet.io.tensors import load_torch, tensors_of
from mfnet.model.fusion import Regressor, SetFusion
from mfnet.model.pretrained import PretrainedNetwork
from mfnet.params import ModelParams
from mfnet.render.shading import DECA_FIRST_BAND

CODE = {"shape": 100, "tex": 50, "exp": 50, "pose": 6, "cam": 3, "light": 27}
"""DECA's 236 numbers in their order; pose is global rotation then jaw, light is 9 x 3."""
REGRESSOR = {
    "layers.0.weight": (1024, 2048),
    "layers.0.bias": (1024,),
    "layers.2.weight": (sum(CODE.values()), 1024),
    "layers.2.bias": (sum(CODE.values()),),
}


def read_deca(path: str | Path) -> dict[str, torch.Tensor]:
    """The state dict ``E_flame`` of a ``deca_model.tar``, read without running any code from the file.

    Raises InputError if the file is missing, is no torch file of plain tensors, or is not DECA's.
    """
    checkpoint = load_torch(path, "download deca_model.tar from DECA's project page")
    fields = checkpoint if isinstance(checkpoint, dict) else {}
    if "E_flame" not in fields:
        raise InputError(f"{path}: E_flame is missing; this is not deca_model.tar")
    state = tensors_of(fields["E_flame"], path, "E_flame")
    for name, shape in REGRESSOR.items():
        if name not in state or tuple(state[name].shape) != shape:
            raise InputError(f"{path}: E_flame.{name} of shape {list(shape)} is missing; not DECA's coarse encoder")
        if not torch.isfinite(state[name]).all():
            raise InputError(f"{path}: E_flame.{name} holds values that are not finite")
    return state


def pretrained_from_deca(path: str | Path, params: ModelParams, flame: Flame) -> PretrainedNetwork:
    """MFNet's start from DECA: every variant gives DECA's own answer where its views are equal images.

    Raises InputError if the architecture is not DECA's or asks for more coefficients than DECA has.
    """
    for key, want in (("backbone", "resnet50"), ("width", 1.0), ("pooling", "global_average")):
        if getattr(params, key) != want:
            raise InputError(f"model.{key}: {getattr(params, key)} cannot start from DECA ({path}), set it to {want}")
    for name, count, most in (
        ("flame.n_shape", flame.n_shape, CODE["shape"]),
        ("flame.n_expression", flame.n_expression, CODE["exp"]),
        ("model.n_albedo", params.n_albedo, CODE["tex"]),
    ):
        if count > most:
            raise InputError(f"{name}: {count} is more than the {most} that DECA predicts ({path})")
    start = PretrainedNetwork(params, flame, None)
    copy_deca(start, read_deca(path), path)
    return start


@torch.no_grad()
def copy_deca(start: PretrainedNetwork, state: dict[str, torch.Tensor], path: str | Path) -> None:
    """Copy trunk and regressors; an absent or misshapen tensor is an InputError that names it."""
    for name, target in start.encoder.trunk.state_dict().items():
        if name.endswith("num_batches_tracked"):  # absent from older files, of no effect here
            continue
        source = state.get(f"encoder.{name}")
        if source is None or source.shape != target.shape:
            raise InputError(f"{path}: E_flame.encoder.{name} of shape {list(target.shape)} is missing")
        if not torch.isfinite(source).all():
            raise InputError(f"{path}: E_flame.encoder.{name} holds values that are not finite")
        target.copy_(source)
    person, view = code_rows(start.counts)
    for name, regressor in [("view", start.view_regressor), *start.person_regressors.items()]:
        assert isinstance(regressor, Regressor | SetFusion)  # a ModuleDict's values are of any kind
        fill_regressor(regressor, state, view if name == "view" else person)
    start.view_regressor.units.scale[-CODE["light"] :][:3] = 1 / DECA_FIRST_BAND


def code_rows(counts: dict[str, int]) -> tuple[list[int], list[int]]:
    """Rows of DECA's 236 that make MFNet's person outputs and view outputs, in MFNet's order."""
    first, begin = {}, 0
    for name, size in CODE.items():
        first[name], begin = begin, begin + size

    def rows(name: str, count: int, skip: int = 0) -> list[int]:
        return list(range(first[name] + skip, first[name] + skip + count))

    person = rows("shape", counts["shape"]) + rows("exp", counts["expression"]) + rows("pose", 3, skip=3)
    view = rows("pose", 3) + rows("cam", 3) + rows("tex", counts["albedo"]) + rows("light", 27)
    return person, view


def fill_regressor(regressor: Regressor | SetFusion, state: dict[str, torch.Tensor], rows: list[int]) -> None:
    """DECA's two layers into one regressor; its outputs then are DECA's rows."""
    weight, bias = state["layers.2.weight"][rows], state["layers.2.bias"][rows]
    views = regressor.first.in_features // state["layers.0.weight"].shape[1]  # concatenated views
    pools = regressor.last.in_features // weight.shape[1]  # mean and maximum of a set
    regressor.first.weight.copy_(state["layers.0.weight"].repeat(1, views) / views)
    regressor.first.bias.copy_(state["layers.0.bias"])
    regressor.last.weight.copy_(weight.repeat(1, pools) / pools)
    regressor.last.bias.copy_(bias)
    regressor.units.mean.zero_()
    regressor.units.scale.fill_(1.0)
