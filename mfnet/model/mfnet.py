"""MFNet: photographs of one person in, one FLAME head and each view's pose, camera, albedo code and light out."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from mfnet.errors import InputError
from mfnet.flame import Flame
from mfnet.io.tensors import fill, head_metadata, read_metadata, read_tensors, refuse_other_head, write_tensors
from mfnet.model.architecture import architecture_metadata, stored_architecture
from mfnet.model.encoder import Encoder
from mfnet.model.fusion import ConcatFusion, Regressor, SetFusion, make_fusion
from mfnet.model.parameters import Person, Prediction, View
from mfnet.params import ModelParams
from mfnet.render.shading import white_light

HIDDEN = {"global_average": 1024, "spatial": 256}
"""``model.pooling`` -> width of the regressors' hidden layer; 1024 is DECA's."""
SLOT_YAWS = (0.0, -45.0, 45.0)
"""Yaw, degrees, of a typical frontal, left and right view: features are centred on those of the mean face there."""


class ViewNetwork(nn.Module):
    """The encoder that all views share, and the regressor of a view's own outputs.

    Args:
        params: the architecture.
        flame: the head model: its coefficient counts, content hash and neutral landmarks are used, nothing is kept.
        crop_scale: ``triplets.crop_scale`` of the crops it will learn from, where its regressors have their zero: the
            mean head in such a crop. None: it is left open, since weights that bring theirs are filled in next.
    """

    def __init__(self, params: ModelParams, flame: Flame, crop_scale: float | None) -> None:
        super().__init__()
        self.params = params
        self.head = head_metadata(flame)
        self.counts = {"shape": flame.n_shape, "expression": flame.n_expression, "albedo": params.n_albedo}
        self.encoder = Encoder(params.backbone, params.width, params.pooling)
        self.view_regressor = make_view_regressor(params, flame, self.encoder, crop_scale)

    def encode(self, images: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
        """Images [B,V,3,H,W], present [B,V] (None: all) -> features [B,V,F], zero where a view is missing."""
        if present is None or bool(present.all()):
            return self.encoder(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        encoded = self.encoder(images[present])  # [P,F]
        features = encoded.new_zeros(*images.shape[:2], self.encoder.features)
        return features.index_put((present,), encoded)


class MFNet(ViewNetwork):
    """One shared encoder, a regressor of each view's own outputs, and a fused regressor of the person's.

    The single-view model is ``MFNet`` with ``views=1``: the same parts, fusion of one feature vector. Fusion ``concat``
    takes exactly `params.views` views in slot order (frontal, left, right; fewer are the first ones); ``set`` takes any
    number, some of them missing.
    """

    def __init__(self, params: ModelParams, flame: Flame, crop_scale: float | None) -> None:
        super().__init__(params, flame, crop_scale)
        self.person_regressor = make_person_regressor(params, flame, self.encoder, crop_scale)

    def forward(self, images: torch.Tensor, present: torch.Tensor | None = None) -> Prediction:
        """Images [B,V,3,H,W] in [0, 1], present [B,V] bool (None: all) -> Prediction.

        Where a view is missing its pixels are not looked at, and its own outputs are the regressor's bias: ignore them.
        """
        if present is None:
            present = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        features = self.encode(images, present)  # [B,V,F]
        person = self.person_regressor(features, present)  # [B, ns + ne + 3]
        view = self.view_regressor(features)  # [B, V, 3 + 3 + na + 27]
        return assemble(person, view, self.counts)


def assemble(person: torch.Tensor, view: torch.Tensor, counts: dict[str, int]) -> Prediction:
    """Regressor outputs person [B, ns+ne+3], view [B,V,6+na+27] -> Prediction, of orthographic cameras."""
    shape, expression, jaw_pose = person.split([counts["shape"], counts["expression"], 3], dim=-1)
    global_pose, camera, albedo, light = view.split([3, 3, counts["albedo"], 27], dim=-1)
    orthographic = camera.new_zeros(camera.shape[:2])
    return Prediction(
        Person(shape, expression, jaw_pose),
        View(global_pose, camera, orthographic, albedo, light.unflatten(-1, (9, 3))),
    )


def make_person_regressor(
    params: ModelParams, flame: Flame, encoder: Encoder, crop_scale: float | None
) -> ConcatFusion | SetFusion:
    """The fused regressor: shape, expression, jaw pose. Units: sigma; 0.1 rad of jaw."""
    scale = torch.cat([torch.ones(flame.n_shape + flame.n_expression), torch.full((3,), 0.1)])
    centre = mean_features(encoder, flame, SLOT_YAWS[: params.views], crop_scale)
    return make_fusion(params.fusion, centre, HIDDEN[params.pooling], torch.zeros_like(scale), scale)


def make_view_regressor(params: ModelParams, flame: Flame, encoder: Encoder, crop_scale: float | None) -> Regressor:
    """The per-view regressor: global pose, camera, albedo code, light. Starts at a frontal head that fills a crop."""
    camera = torch.zeros(3)
    if crop_scale is not None:
        camera = crop_camera(neutral_landmarks(flame, (0.0,)), crop_scale)[0]
    mean = torch.cat([torch.zeros(3), camera, torch.zeros(params.n_albedo), white_light().flatten()])
    scale = torch.cat(
        [
            torch.tensor([0.1, 0.6, 0.1]),  # rad: heads turn far and nod little
            torch.tensor([0.1 * float(camera[0]), 0.02, 0.02]),  # 1/m, m, m
            torch.ones(params.n_albedo),
            torch.full((27,), 0.3),
        ]
    )
    return Regressor(mean_features(encoder, flame, (0.0,), crop_scale)[0], HIDDEN[params.pooling], mean, scale)


def mean_features(encoder: Encoder, flame: Flame, yaws: Sequence[float], crop_scale: float | None) -> torch.Tensor:
    """An encoder's features [V,F] of the mean head in crops at `yaws`, degrees, on which regressors centre theirs.

    crop_scale as `ViewNetwork` takes it; where it is None they are 0.
    """
    if crop_scale is None:
        return torch.zeros(len(yaws), encoder.features)
    landmarks = neutral_landmarks(flame, yaws)
    camera = crop_camera(landmarks, crop_scale)
    return encoder.mean_features(camera[:, None, :1] * (landmarks + camera[:, None, 1:]))


@torch.no_grad()
def neutral_landmarks(flame: Flame, yaws: Sequence[float]) -> torch.Tensor:
    """The mean head's 68 landmarks [V,68,2] (x, y in metres) at each of `yaws`, degrees; on the CPU."""
    device, count = flame.faces.device, len(yaws)
    pose = torch.zeros(count, 3, device=device)
    pose[:, 1] = torch.deg2rad(torch.tensor(yaws))
    zeros = (torch.zeros(count, number, device=device) for number in (flame.n_shape, flame.n_expression))
    return flame(*zeros, pose).landmarks[..., :2].cpu()


def crop_camera(landmarks: torch.Tensor, crop_scale: float) -> torch.Tensor:
    """(s, tx, ty) [V,3] that centres landmarks [V,68,2] in a crop of `crop_scale` times their box."""
    low, high = landmarks.amin(dim=1), landmarks.amax(dim=1)
    side = crop_scale * (high - low).amax(dim=1, keepdim=True)
    return torch.cat([2 / side, -(low + high) / 2], dim=1)


# ------------------------------------------------------------------------------------------------------------- files


class Crops(NamedTuple):
    """The photographs that a network was trained on, cropped around the face."""

    image_size: int
    """Side, pixels."""
    crop_scale: float
    """Side over the larger side of the landmarks' box."""


def save_mfnet(model: MFNet, path: str | Path, crops: Crops) -> None:
    """Write a model as safetensors with what is needed to build, to feed and to trust it.

    That is its architecture, the crops that it was trained on, coefficient counts, and its head's hash and provenance.
    """
    metadata = {"kind": "mfnet", "model": architecture_metadata(model.params), "crops": crops._asdict(), **model.head}
    write_tensors(model.state_dict(), path, metadata)


def load_mfnet(path: str | Path, flame: Flame) -> MFNet:
    """Read a model back for `flame`, in evaluation mode.

    Raises InputError if the file is missing, damaged, of another kind, or was trained on another head.
    """
    state, metadata = read_tensors(path, "mfnet")
    refuse_other_head(path, metadata, flame)
    model = MFNet(stored_architecture(metadata, path), flame, None)
    fill(model, state, path)
    return model.eval()


def read_crops(path: str | Path) -> Crops:
    """The crops that the model in a file was trained on. Raises InputError where the file does not say."""
    metadata = read_metadata(path, "mfnet")
    try:
        size, scale = (metadata["crops"][name] for name in Crops._fields)
        return Crops(int(size), float(scale))
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: its metadata do not name the crops it was trained on; train it again") from None
