"""MFNet and its baselines on the FaceScape benchmark: which views each method sees, what it predicts, its scores.

Methods (``n`` views):
- ``mean_head`` (1): mean shape, no expression, posed by the detected landmarks; no network.
- ``mfnet_1`` (1): the single-view model on the item's image.
- ``mfnet_1_averaged`` (3, lab): shape, expression and jaw of the single-view model averaged over the three views that
  mfnet_3 sees; pose and camera of the item's own view.
- ``mfnet_3`` (3, lab): the item's view in its slot, and the two views that complete the slots (`companions`).
- ``mfnet_3_same_image`` (1): the three-view model with the item's image in every slot, the paper's way.
- ``mfnet_3_refined`` (3, lab): mfnet_3's answer fitted further to the landmarks and the flow of the same three views.

The wild set has one image an item, so the methods of several views are not defined there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from mfnet.datasets.facescape import LAB_VIEWS, Item, LabItem, image_path, lab_index, lab_name, read_image
from mfnet.datasets.plan import SLOTS
from mfnet.errors import InputError
from mfnet.evaluation.loaders import Prediction as Placed
from mfnet.evaluation.loaders import from_crop, from_lens, pixels_per_ndc
from mfnet.evaluation.mean_head import fit_mean_head
from mfnet.evaluation.meshes import ItemError, Mesh
from mfnet.evaluation.predictions import Face, ItemJob, score_predictions
from mfnet.evaluation.refined import Refiner
from mfnet.evaluation.score import score_table
from mfnet.fanout import fan_out
from mfnet.flame import Flame
from mfnet.geometry import FaceCrop, crop_face, project_orthographic
from mfnet.nets.mfnet import Prediction, join
from mfnet.parallel import one_thread

SIDE_YAW = 30.0
"""Degrees of the two views that complete a frontal one."""
METHODS = {
    "wild": ("mean_head", "mfnet_1", "mfnet_3_same_image"),
    "lab": ("mean_head", "mfnet_1", "mfnet_1_averaged", "mfnet_3", "mfnet_3_same_image", "mfnet_3_refined"),
}
ABLATION = "ablation/"
"""Prefix of the methods that are ablation runs: scored in wild as in the paper's Table 3, and kept in a table apart."""
BATCH = 32


Result = dict[tuple[str, str], Face | ItemError]
"""(method, item name) -> the prediction, or why there is none."""
Views = dict[str, FaceCrop | ItemError]
"""Item name -> its photograph, found and cropped, or why there is none."""


@dataclass(frozen=True)
class Models:
    """What the methods need. A method whose network is None is not run."""

    flame: Flame
    single: torch.nn.Module | None
    """MFNet of one view."""
    triple: torch.nn.Module | None
    """MFNet of three views."""
    refiner: Refiner | None = None
    """How its answers are refined."""
    calibrated: bool = False
    """``benchmark.calibrated``: heads of the lab before the item's calibrated camera."""

    def methods(self, protocol: str) -> tuple[str, ...]:
        """The methods that can be run on ``wild`` or ``lab``."""
        known = {"mean_head": True, "mfnet_1": self.single, "mfnet_1_averaged": self.single}
        known["mfnet_3_refined"] = self.refiner if self.triple is not None else None
        return tuple(name for name in METHODS[protocol] if known.get(name, self.triple) is not None)


# --------------------------------------------------------------------------------------------------------- views
def slot_of(view: int) -> str:
    """The slot of a lab view: ``right`` (camera on the subject's right) for yaw > 0, ``left`` for < 0, else frontal."""
    yaw = LAB_VIEWS[view][0]
    return "right" if yaw > 0 else "left" if yaw < 0 else "frontal"


def companions(item: LabItem) -> dict[str, str]:
    """Slot -> name of the three images that mfnet_3 sees for an item, all of its subject and focal length.

    A side view keeps its slot; the frontal view and its mirror image (yaw of the other sign, same pitch) complete it.
    A view without yaw takes the frontal slot, between the fixed pair at -30 and +30 degrees.
    """
    own = slot_of(item.view)
    yaw, pitch = LAB_VIEWS[item.view]
    if own == "frontal":
        chosen = {"frontal": item.view, "left": _view_at(-SIDE_YAW, 0.0), "right": _view_at(SIDE_YAW, 0.0)}
    else:
        chosen = {"frontal": _view_at(0.0, 0.0), own: item.view}
        chosen["left" if own == "right" else "right"] = _view_at(-yaw, pitch)
    return {slot: lab_name(lab_index(item.subject, item.focal, chosen[slot])) for slot in SLOTS}


def _view_at(yaw: float, pitch: float) -> int:
    return int(np.argmin([np.hypot(yaw - y, pitch - p) for y, p in LAB_VIEWS]))


def prepare_views(items: Sequence[Item], data: str | Path, detect: Callable, size: int, crop_scale: float) -> Views:
    """Read, find and crop the image of every item.

    detect: `mfnet.datasets.landmark_backends.Backend.detect`, (relative paths, images) -> Detections. The paths are
    relative to the benchmark's data folder.
    """
    views: Views = {}
    paths, images = {}, {}
    for item in items:
        try:
            images[item.name] = read_image(data, item)
            path = image_path(data, item)
            paths[item.name] = f"{path.parent.name}/{path.name}"
        except InputError as error:
            views[item.name] = ItemError("missing_image", str(error))
    found = detect(list(paths.values()), list(images.values())) if images else []
    for (name, image), detection in zip(images.items(), found, strict=True):
        views[name] = _view(image, detection, size, crop_scale)
    return views


def _view(image: np.ndarray, detection, size: int, crop_scale: float) -> FaceCrop | ItemError:
    if detection.landmarks is None or not np.isfinite(detection.landmarks).all():
        return ItemError("no_landmarks", detection.reason or "the detected landmarks are not finite")
    try:
        return crop_face(image, detection.landmarks, crop_scale, size)
    except InputError as error:
        return ItemError("no_landmarks", str(error))


# --------------------------------------------------------------------------------------------------- predictions
def predict(
    protocol: str,
    items: Sequence[Item],
    views: Views,
    models: Models,
    methods: Sequence[str] | None = None,
) -> Result:
    """Every method's prediction for every item, in the order methods (None: all that can be run), items.

    Runs on one CPU thread or on the device of the networks: the result does not depend on the machine's cores.
    """
    methods = models.methods(protocol) if methods is None else methods
    results: Result = {}
    with one_thread(), torch.inference_mode():
        for method in methods:
            jobs = {item.name: _job(method, item, views) for item in items}
            good = {name: job for name, job in jobs.items() if isinstance(job, _Job)}
            faces = _run(method, list(good.values()), views, models)
            found = dict(zip(good, faces, strict=True))
            for name, job in jobs.items():
                results[method, name] = found.get(name, job)
    return results


def predict_variants(items: Sequence[Item], views: Views, flame: Flame, variants: dict[str, torch.nn.Module]) -> Result:
    """Table 3's way of testing: each variant sees the item's one image, in every slot it has.

    variants: ``<variant>-<seed>`` -> network of one or three views. The methods are called ABLATION + name.
    """
    results: Result = {}
    for name, network in variants.items():
        if network.params.views == 1:
            models, method = Models(flame, network, None), "mfnet_1"
        else:
            models, method = Models(flame, None, network), "mfnet_3_same_image"
        found = predict("wild", items, views, models, [method])
        results |= {(ABLATION + name, item): face for (_, item), face in found.items()}
    return results


@dataclass(frozen=True)
class _Job:
    """One item for one method: the names of the images in slot order, which of them is the item's own, and the focal
    length of its calibrated camera (px of the 256 px image; None in the orthographic wild)."""

    names: tuple[str, ...]
    own: int
    focal: float | None

    def views(self) -> str:
        if len(self.names) == 1:
            return self.names[0]
        return " ".join(f"{slot}={name}" for slot, name in zip(SLOTS, self.names, strict=True))


def _job(method: str, item: Item, views: Views) -> _Job | ItemError:
    focal = float(item.intrinsics[0, 0]) if isinstance(item, LabItem) else None
    if method in ("mfnet_3", "mfnet_3_refined", "mfnet_1_averaged"):
        names = companions(item)
        job = _Job(tuple(names[slot] for slot in SLOTS), SLOTS.index(slot_of(item.view)), focal)
    else:
        job = _Job((item.name,), 0, focal)
    for name in job.names:
        view = views.get(name, ItemError("missing_image", f"{name}: no such item in this benchmark folder"))
        if isinstance(view, ItemError):
            return view if name == item.name else ItemError(view.status, f"view {name}: {view.reason}")
    return job


class _Posed(NamedTuple):
    """Heads in the views of their items."""

    vertices: torch.Tensor  # [B, V, 3] metres, camera along -z
    camera: torch.Tensor  # [B, 3] scaled orthography
    centre: torch.Tensor  # [B] metres towards the camera: the depth at which the camera's scale holds
    closeness: torch.Tensor | None = None  # [B] 1 / distance of the camera from `centre`, 1/m; None: nothing is known


def _run(method: str, jobs: list[_Job], views: dict[str, FaceCrop], models: Models) -> list[Face]:
    if not jobs:
        return []
    posed = _RUNNERS[method](jobs, views, models)
    faces = []
    for row, job in enumerate(jobs):
        parts = (None if part is None else part[row].double().cpu() for part in posed)
        found = _place(*parts, views[job.names[job.own]], job.focal if models.calibrated else None)
        faces.append(Face(found.mesh.vertices, job.views(), len(set(job.names)), found.focal))
    return faces


def _place(vertices, camera, centre, closeness, view: FaceCrop, focal: float | None) -> Placed:
    """One head before its camera: at the fitted distance, else at the one that the calibrated focal length and the
    camera's scale give, else in the image cube as the official loaders of orthographic methods place it.
    """
    to_image, size = np.linalg.inv(view.matrix), len(view.image)
    if closeness is None and focal is None:
        return from_crop(_points(project_orthographic(vertices[None], camera[None])[0].numpy()), to_image, size)
    if closeness is None:
        closeness = pixels_per_ndc(to_image, size) * camera[0] / focal
    return from_lens(_points(vertices.numpy()), camera.numpy(), float(closeness), float(centre), to_image, size)


def _points(vertices: np.ndarray) -> Mesh:
    return Mesh(vertices, np.empty((0, 3), np.int64))


def _mean_head(jobs: list[_Job], views: dict[str, FaceCrop], models: Models) -> _Posed:
    fits = [fit_mean_head(models.flame, views[job.names[0]].landmarks) for job in jobs]
    pose, camera = (torch.from_numpy(np.stack(part)).float() for part in zip(*fits, strict=True))
    shape = pose.new_zeros(len(jobs), models.flame.n_shape)
    output = models.flame(shape, pose.new_zeros(len(jobs), models.flame.n_expression), pose)
    return _Posed(output.vertices, camera, output.landmarks[..., 2].mean(-1))


def _single(jobs: list[_Job], views: dict[str, FaceCrop], models: Models) -> _Posed:
    return _posed(models, _answers([[job.names[0]] for job in jobs], views, models.single), [0] * len(jobs))


def _averaged(jobs: list[_Job], views: dict[str, FaceCrop], models: Models) -> _Posed:
    """The single-view model on each of the three images; person-level outputs averaged, pose and camera the item's."""
    each = _answers([[name] for job in jobs for name in job.names], views, models.single)
    by_item = each.map(lambda values: values.unflatten(0, (len(jobs), len(SLOTS))))
    person = {name: getattr(by_item, name).mean(dim=1) for name in ("shape", "expression", "jaw_pose")}
    own = {name: getattr(by_item, name)[:, :, 0] for name in ("global_pose", "camera", "albedo", "light")}
    return _posed(models, Prediction(**person, **own), [job.own for job in jobs])


def _triple(jobs: list[_Job], views: dict[str, FaceCrop], models: Models) -> _Posed:
    return _posed(models, _answers([job.names for job in jobs], views, models.triple), [job.own for job in jobs])


def _refined(jobs: list[_Job], views: dict[str, FaceCrop], models: Models) -> _Posed:
    """The same three photographs serve several items (a side view and its mirror image): one fit for each set."""
    sets = {names: row for row, names in enumerate(dict.fromkeys(job.names for job in jobs))}
    landmarks = np.stack([np.stack([views[name].landmarks for name in names]) for names in sets])
    images = _images(list(sets), views, models.triple)
    answers = _answers(list(sets), views, models.triple)
    refined, closeness = models.refiner(models.flame, answers, images, torch.from_numpy(landmarks).to(images))
    rows, own = [sets[job.names] for job in jobs], [job.own for job in jobs]
    posed = _posed(models, refined.map(lambda values: values[rows]), own)
    return posed._replace(closeness=closeness[rows, own])


def _same_image(jobs: list[_Job], views: dict[str, FaceCrop], models: Models) -> _Posed:
    names = [job.names * models.triple.params.views for job in jobs]
    return _posed(models, _answers(names, views, models.triple), [0] * len(jobs))


_RUNNERS = {
    "mean_head": _mean_head,
    "mfnet_1": _single,
    "mfnet_1_averaged": _averaged,
    "mfnet_3": _triple,
    "mfnet_3_same_image": _same_image,
    "mfnet_3_refined": _refined,
}


def _answers(names: Sequence[Sequence[str]], views: dict[str, FaceCrop], network: torch.nn.Module) -> Prediction:
    """What the network says of every row of photographs."""
    parts = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
    return join([network(_images(part, views, network)) for part in parts])


def _images(names: Sequence[Sequence[str]], views: dict[str, FaceCrop], network: torch.nn.Module) -> torch.Tensor:
    """Crops [B, V, 3, S, S] in 0..1 on the network's device."""
    crops = np.stack([np.stack([views[name].image for name in row]) for row in names])
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    return torch.from_numpy(crops).to(device).movedim(-1, 2).float() / 255


def _posed(models: Models, prediction: Prediction, own: list[int]) -> _Posed:
    """The people in the pose of their own views, before those views' cameras.

    What a network says that is not finite gives vertices that are not: the head model refuses to be posed by NaN.
    """
    rows = torch.arange(len(own)), torch.tensor(own)
    inputs = {name: getattr(prediction, name) for name in ("shape", "expression", "jaw_pose")}
    inputs["global_pose"] = prediction.global_pose[rows]
    finite = torch.stack([values.isfinite().all(dim=1) for values in inputs.values()]).all(dim=0)
    output = models.flame(**{name: values.nan_to_num(0, 0, 0) for name, values in inputs.items()})
    vertices = torch.where(finite[:, None, None], output.vertices, torch.nan)
    return _Posed(vertices, prediction.camera[rows], output.landmarks[..., 2].mean(-1))


# ------------------------------------------------------------------------------------------------------- scoring
def run_protocol(
    protocol: str,
    items: Sequence[Item],
    data: str | Path,
    models: Models,
    detect: Callable,
    size: int,
    crop_scale: float,
    mode: str = "serial",
    workers: int = 0,
    pictured: Sequence[str] = (),
    variants: dict[str, torch.nn.Module] | None = None,
) -> tuple[pd.DataFrame, Result, dict[tuple[str, str], np.ndarray]]:
    """Predict and score every method on every item.

    size: side of the networks' crops, px; crop_scale: their side over the landmarks' larger one; pictured: names of the
    items whose distances are wanted as pictures; variants: see `predict_variants`.

    Returns the score table (a row for each method and item, with views, n_views, status, reason), the predictions of
    the methods, and (method, name) -> front view of the distances, mm.
    """
    views = prepare_views(items, data, detect, size, crop_scale)
    results = predict(protocol, items, views, models)
    every = results | predict_variants(items, views, models.flame, variants or {})
    faces = models.flame.faces.cpu().numpy()
    methods = list(dict.fromkeys(method for method, _ in every))
    jobs = [
        ItemJob(item, Path(data), faces, {m: every[m, item.name] for m in methods}, item.name in pictured)
        for item in items
    ]
    scores = list(fan_out(score_predictions, jobs, mode, workers, f"score {protocol}"))
    pictures = {
        (method, item.name): picture
        for item, score in zip(items, scores, strict=True)
        for method, picture in score.pictures.items()
        if not method.startswith(ABLATION)
    }
    return score_table([row for score in scores for row in score.rows]), results, pictures


def pictured_items(items: Sequence[Item], count: int) -> list[str]:
    """Names of up to `count` items spread over the bins: the first of each bin, then the second, and so on."""
    by_bin: dict[str, list[str]] = {}
    for item in items:
        by_bin.setdefault(item.bin, []).append(item.name)
    turns = [names[turn] for turn in range(len(items)) for names in by_bin.values() if turn < len(names)]
    return sorted(turns[:count])
