"""The front door: load a reconstructor, give it three photographs, save the head."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet.errors import InputError
from mfnet.export.meshes import export_head
from mfnet.fitting.refine import refine as refine_prediction
from mfnet.flame import Flame, load_flame
from mfnet.flame.makehuman import makehuman_head
from mfnet.flow import FlowEstimator, load_flow
from mfnet.geometry import crop_face
from mfnet.io.images import read_photo, to_float
from mfnet.io.tensors import coefficient_counts
from mfnet.landmarks.backends import Detection, LandmarkBackend, default_backend, make_backend
from mfnet.model.mfnet import MFNet, load_mfnet, read_crops
from mfnet.model.pretrained import load_pretrained
from mfnet.model.reconstruction import OUTLINE_MARGIN, textured
from mfnet.params import Params, RefineParams, load_params
from mfnet.profiles import load_profile
from mfnet.weights import bundled


@dataclass(frozen=True)
class Face:
    """One reconstructed person."""

    vertices: np.ndarray
    """[N, 3] metres in head space (y up, z out of the face): shape and expression, unrotated."""
    vertex_sigma_mm: np.ndarray | None
    """[N] standard deviation of each vertex, mm, by the Laplace approximation; None without fitting."""
    texture: np.ndarray
    """[T, T, 3] uint8 in the head model's UV layout, row 0 at v = 1; what no photograph shows is filled in."""
    texture_confidence: np.ndarray
    """[T, T] how squarely the photographs show a texel, in [0, 1]; 0: filled in."""
    cameras: np.ndarray
    """[V, 3] of each view: scale (1/m) and shift (m) into the ndc of its crop (docs/conventions.md)."""
    inverse_distances: np.ndarray
    """[V] 1/m from each camera to the face; 0: scaled orthography."""
    flame: Flame
    """The head model, for faces and UV."""

    def save(self, path: str | Path) -> None:
        """Write the textured head as ``.glb`` or ``.obj`` (with ``.mtl`` and ``.png``).

        Raises InputError for another suffix.
        """
        export_head(path, self.vertices, self.flame, self.texture)


@dataclass(frozen=True)
class Reconstructor:
    """Everything that turns photographs into a head. Made by `load`."""

    flame: Flame
    network: MFNet
    detector: LandmarkBackend
    """Finds the 68 landmarks (`mfnet.landmarks.backends`)."""
    flow: FlowEstimator
    """Optical flow between the photographs, for fitting (`mfnet.flow`)."""
    image_size: int
    """Side of the crops, pixels."""
    crop_scale: float
    """Side of the crop over the larger side of the landmarks' box."""
    min_score: float
    """Score of landmarks below which a photograph is refused."""
    refinement: RefineParams
    """How `reconstruct` fits."""

    def reconstruct(
        self, frontal: str | Path, left: str | Path, right: str | Path, refine: bool = True, texture_size: int = 512
    ) -> Face:
        """One textured head from three photographs of a person.

        left and right are photographs by cameras on the subject's left and right. refine: fit the prediction further to
        landmarks and flow, some seconds of CPU; False: feed-forward. texture_size: side T, pixels.

        Raises InputError, naming the file, for one that is no image or shows no face.
        """
        paths = [Path(path) for path in (frontal, left, right)]
        photos = crop_photos(paths, self.detector, self.image_size, self.crop_scale, self.min_score)
        with torch.no_grad():
            prediction = self.network(photos.images[None])
        vertex_sigma_mm = None
        if refine:
            measured = (photos.images, photos.landmarks, self.flow.flow)
            refined = refine_prediction(self.flame, prediction, *measured, self.refinement)
            prediction = refined.prediction
            vertex_sigma_mm = 1000 * refined.vertex_sigma.numpy()
        person = textured(self.flame, prediction, photos.images, texture_size, OUTLINE_MARGIN)
        return Face(
            vertices=person.canonical.numpy(),
            vertex_sigma_mm=vertex_sigma_mm,
            texture=(person.texture * 255).round().byte().permute(1, 2, 0).numpy(),
            texture_confidence=person.confidence.numpy(),
            cameras=person.cameras.numpy(),
            inverse_distances=prediction.views.inverse_distance[0].numpy(),
            flame=self.flame,
        )


class Photos(NamedTuple):
    """One person's photographs, cropped."""

    images: Tensor  # [V, 3, S, S] in [0, 1]
    landmarks: Tensor  # [V, 68, 2] ndc of the crops


def crop_photos(paths: list[Path], backend: LandmarkBackend, size: int, crop_scale: float, min_score: float) -> Photos:
    """Photographs as the network wants them: found, cropped to their landmarks, `size` px wide.

    Of several faces the largest is taken, and that there are more is said on stderr. Raises InputError for a file that
    is no image, shows no face, or whose landmarks score less than `min_score`.
    """
    images = [read_photo(path) for path in paths]
    crops = []
    detections = backend.detect([path.name for path in paths], images)
    for path, image, detection in zip(paths, images, detections, strict=True):
        crops.append(crop_face(image, _landmarks(path, detection, min_score), crop_scale, size))
    pixels = to_float(torch.from_numpy(np.stack([crop.image for crop in crops])).permute(0, 3, 1, 2))
    return Photos(pixels, torch.from_numpy(np.stack([crop.landmarks for crop in crops])).float())


def _landmarks(path: Path, detection: Detection, min_score: float) -> np.ndarray:
    """Those of a detection that can be believed, [68, 2] px."""
    remedy = "use a photograph with one clear face"
    if detection.landmarks is None:
        raise InputError(f"{path}: {detection.reason or 'no face found'}; {remedy}")
    if detection.score < min_score:
        raise InputError(f"{path}: no face (score {detection.score:.2f}, {min_score:g} is asked for); {remedy}")
    if detection.faces > 1:
        print(f"{path}: {detection.faces} faces; the largest is taken", file=sys.stderr)
    return detection.landmarks


def load(model: str | Path | None = None, params: str | Path | None = None) -> Reconstructor:
    """A reconstructor with the shipped weights, or with those that stage ``train`` wrote.

    model: None for the shipped network and head; else a folder with ``model.safetensors`` such as ``data/train``,
    beside ``head`` and ``pretrained``.
    params: a params file whose landmark backend, flow and fit to use with `model`; None: the embedded profile's flow
    and fit, and MediaPipe's landmarks where ``mfnet assets get`` has been run, else the embedded network's.

    Raises InputError for files that are missing, damaged or do not belong together.
    """
    if model is None:
        return _shipped()
    return _trained(Path(model), None if params is None else load_params(params))


def _shipped() -> Reconstructor:
    flame = shipped_head()
    start = load_pretrained(bundled("encoder"), flame, "reinstall mfnet: its weights and head belong together")
    params = load_profile("embedded")  # what the shipped weights were made for
    network = start.model(start.params.model_copy(update={"fusion": "set", "views": 3}), flame).eval()
    detector = default_backend(bundled("landmarks"))
    crops = (params.triplets.image_size, params.triplets.crop_scale, params.landmarks.min_score)
    return Reconstructor(flame, network, detector, load_flow("dis", ""), *crops, params.refine)  # DIS has no weights


def shipped_head() -> Flame:
    """The head that the shipped weights were trained on."""
    return Flame(makehuman_head(), *coefficient_counts(bundled("encoder"), "encoder"))


def _trained(folder: Path, chosen: Params | None) -> Reconstructor:
    path, data = folder / "model.safetensors", folder.parent
    if not (data / "head" / "head.npz").is_file():
        raise InputError(
            f"{data / 'head' / 'head.npz'}: no such file; a model's folder lies beside its head and weights"
        )
    n_shape, n_expression = coefficient_counts(path, "mfnet")
    flame = load_flame(data / "head" / "head.npz", n_shape=n_shape, n_expression=n_expression)
    network = load_mfnet(path, flame)
    landmarks = data / "pretrained" / "landmarks.safetensors"
    params = load_profile() if chosen is None else chosen
    detector = default_backend(landmarks) if chosen is None else make_backend(params.landmarks, ".", landmarks)
    flow = load_flow(params.loss.flow_estimator, data / "pretrained" / "flow.safetensors")
    return Reconstructor(flame, network, detector, flow, *read_crops(path), params.landmarks.min_score, params.refine)
