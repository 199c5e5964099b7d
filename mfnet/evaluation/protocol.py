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

import numpy as np
import pandas as pd
import torch

from mfnet.datasets.facescape import LAB_VIEWS, Item, LabItem, image_path, lab_index, lab_name, read_image
from mfnet.datasets.plan import SLOTS
from mfnet.errors import InputError
from mfnet.evaluation.loaders import from_crop
from mfnet.evaluation.mean_head import fit_mean_head
from mfnet.evaluation.meshes import ItemError, Mesh
from mfnet.evaluation.predictions import Face, ItemJob, score_predictions
from mfnet.evaluation.refined import Refiner
from mfnet.evaluation.score import score_table
from mfnet.fanout import fan_out
from mfnet.flame import Flame
from mfnet.geometry import crop_box, crop_image, crop_matrix, pixels_to_ndc, project_orthographic, transform_points
from mfnet.nets.mfnet import join
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


@dataclass(frozen=True)
class View:
    """One photograph, found and cropped."""

    crop: np.ndarray
    """[S, S, 3] uint8 RGB."""
    to_crop: np.ndarray
    """[3, 3] image px to crop px."""
    landmarks: np.ndarray
    """[68, 2] ndc of the crop."""


Result = dict[tuple[str, str], Face | ItemError]
"""(method, item name) -> the prediction, or why there is none."""


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


def prepare_views(
    items: Sequence[Item], data: str | Path, detect: Callable, size: int, crop_scale: float
) -> dict[str, View | ItemError]:
    """Read, find and crop the image of every item: name -> View, or why there is none.

    detect: `mfnet.datasets.landmark_backends.Backend.detect`, (relative paths, images) -> Detections. The paths are
    relative to the benchmark's data folder.
    """
    views: dict[str, View | ItemError] = {}
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


def _view(image: np.ndarray, detection, size: int, crop_scale: float) -> View | ItemError:
    if detection.landmarks is None or not np.isfinite(detection.landmarks).all():
        return ItemError("no_landmarks", detection.reason or "the detected landmarks are not finite")
    try:
        box = crop_box(detection.landmarks, crop_scale)
    except InputError as error:
        return ItemError("no_landmarks", str(error))
    matrix = crop_matrix(box, size)
    points = torch.from_numpy(transform_points(np.asarray(detection.landmarks, np.float64), matrix))
    return View(crop_image(image, box, size), matrix, pixels_to_ndc(points, size, size).numpy())


# --------------------------------------------------------------------------------------------------- predictions
def predict(
    protocol: str,
    items: Sequence[Item],
    views: dict[str, View | ItemError],
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


def predict_variants(
    items: Sequence[Item], views: dict[str, View | ItemError], flame: Flame, variants: dict[str, torch.nn.Module]
) -> Result:
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
    """One item for one method: the names of the images in slot order, and which of them is the item's own."""

    names: tuple[str, ...]
    own: int

    def views(self) -> str:
        if len(self.names) == 1:
            return self.names[0]
        return " ".join(f"{slot}={name}" for slot, name in zip(SLOTS, self.names, strict=True))


def _job(method: str, item: Item, views: dict[str, View | ItemError]) -> _Job | ItemError:
    if method in ("mfnet_3", "mfnet_3_refined", "mfnet_1_averaged"):
        names = companions(item)
        job = _Job(tuple(names[slot] for slot in SLOTS), SLOTS.index(slot_of(item.view)))
    else:
        job = _Job((item.name,), 0)
    for name in job.names:
        view = views.get(name, ItemError("missing_image", f"{name}: no such item in this benchmark folder"))
        if isinstance(view, ItemError):
            return view if name == item.name else ItemError(view.status, f"view {name}: {view.reason}")
    return job


def _run(method: str, jobs: list[_Job], views: dict[str, View], models: Models) -> list[Face]:
    faces = []
    size = max(1, len(jobs)) if method == "mfnet_3_refined" else BATCH  # fits are spread over processes, all at once
    for start in range(0, len(jobs), size):
        part = jobs[start : start + size]
        vertices, camera = _RUNNERS[method](part, views, models)
        points = project_orthographic(vertices, camera).double().cpu().numpy()
        for job, ndc in zip(part, points, strict=True):
            view = views[job.names[job.own]]
            mesh = from_crop(Mesh(ndc, np.empty((0, 3), np.int64)), np.linalg.inv(view.to_crop), len(view.crop)).mesh
            faces.append(Face(mesh.vertices, job.views(), len(set(job.names))))
    return faces


def _mean_head(jobs: list[_Job], views: dict[str, View], models: Models):
    fits = [fit_mean_head(models.flame, views[job.names[0]].landmarks) for job in jobs]
    pose, camera = (torch.from_numpy(np.stack(part)).float() for part in zip(*fits, strict=True))
    shape = pose.new_zeros(len(jobs), models.flame.n_shape)
    return models.flame(shape, pose.new_zeros(len(jobs), models.flame.n_expression), pose).vertices, camera


def _single(jobs: list[_Job], views: dict[str, View], models: Models):
    return _head_of(
        models, models.single(_images([[job.names[0]] for job in jobs], views, models.single)), [0] * len(jobs)
    )


def _averaged(jobs: list[_Job], views: dict[str, View], models: Models):
    """The single-view model on each of the three images; person-level outputs averaged, pose and camera the item's."""
    images = _images([job.names for job in jobs], views, models.single)
    each = models.single(images.flatten(0, 1)[:, None])
    by_item = each.map(lambda values: values.unflatten(0, (len(jobs), len(SLOTS))))
    person = {name: getattr(by_item, name).mean(dim=1) for name in ("shape", "expression", "jaw_pose")}
    pose, camera = by_item.global_pose[:, :, 0], by_item.camera[:, :, 0]
    return _decode(models, person, pose, camera, [job.own for job in jobs])


def _triple(jobs: list[_Job], views: dict[str, View], models: Models):
    images = _images([job.names for job in jobs], views, models.triple)
    return _head_of(models, models.triple(images), [job.own for job in jobs])


def _refined(jobs: list[_Job], views: dict[str, View], models: Models):
    """The same three photographs serve several items (a side view and its mirror image): one fit for each set."""
    sets = list(dict.fromkeys(job.names for job in jobs))
    images = _images(sets, views, models.triple)
    landmarks = np.stack([np.stack([views[name].landmarks for name in names]) for names in sets])
    answers = join([models.triple(part) for part in images.split(BATCH)])
    refined = models.refiner(models.flame, answers, images, torch.from_numpy(landmarks).to(images))
    each = refined.map(lambda values: values[[sets.index(job.names) for job in jobs]])
    return _head_of(models, each, [job.own for job in jobs])


def _same_image(jobs: list[_Job], views: dict[str, View], models: Models):
    slots = models.triple.params.views
    images = _images([job.names * slots for job in jobs], views, models.triple)
    return _head_of(models, models.triple(images), [0] * len(jobs))


_RUNNERS = {
    "mean_head": _mean_head,
    "mfnet_1": _single,
    "mfnet_1_averaged": _averaged,
    "mfnet_3": _triple,
    "mfnet_3_same_image": _same_image,
    "mfnet_3_refined": _refined,
}


def _images(names: Sequence[Sequence[str]], views: dict[str, View], network: torch.nn.Module) -> torch.Tensor:
    """Crops [B, V, 3, S, S] in 0..1 on the network's device."""
    crops = np.stack([np.stack([views[name].crop for name in row]) for row in names])
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    return torch.from_numpy(crops).to(device).movedim(-1, 2).float() / 255


def _head_of(models: Models, prediction, own: list[int]):
    person = {name: getattr(prediction, name) for name in ("shape", "expression", "jaw_pose")}
    return _decode(models, person, prediction.global_pose, prediction.camera, own)


def _decode(models: Models, person: dict, pose: torch.Tensor, camera: torch.Tensor, own: list[int]):
    """Vertices [B, V, 3] of the persons in the pose of their own views, and those views' cameras [B, 3].

    What a network says that is not finite gives vertices that are not: the head model refuses to be posed by NaN.
    """
    rows = torch.arange(len(own)), torch.tensor(own)
    inputs = person | {"global_pose": pose[rows]}
    finite = torch.stack([values.isfinite().all(dim=1) for values in inputs.values()]).all(dim=0)
    vertices = models.flame(**{name: values.nan_to_num(0, 0, 0) for name, values in inputs.items()}).vertices
    return torch.where(finite[:, None, None], vertices, torch.nan), camera[rows]


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
