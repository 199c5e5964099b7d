"""The methods of the benchmark: which photographs each sees, what it says, and its heads before their cameras.

Methods (``n`` views):
- ``mean_head`` (1): mean shape, no expression, posed by the detected landmarks; no network.
- ``mfnet_1`` (1): the single-view model on the item's image.
- ``mfnet_1_averaged`` (3, lab): shape, expression and jaw of the single-view model averaged over the three views that
  mfnet_3 sees; pose and camera of the item's own view.
- ``mfnet_3`` (3, lab): the item's view in its slot, and the two views that complete the slots (`companions`).
- ``mfnet_3_same_image`` (1): the three-view model with the item's image in every slot, the paper's way.
- ``<method>_posed``: the same heads posed by the item's landmarks, as the mean head is: shapes without networks' poses.
- ``mfnet_3_refined`` (3, lab): mfnet_3's answer fitted further to the landmarks and the flow of the same three views.

The wild set has one image an item, so the methods of several views are not defined there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet.benchmark.names import POSED
from mfnet.benchmark.predictions import Face
from mfnet.compute.compiled import one_thread
from mfnet.datasets.facescape import LAB_VIEWS, Item, LabItem, lab_index, lab_name
from mfnet.datasets.plan import SLOTS
from mfnet.fitting.batch import Refiner
from mfnet.fitting.pose import fit_poses
from mfnet.flame import Flame
from mfnet.geometry import FaceCrop, project_orthographic, reference_depth
from mfnet.io.images import to_float
from mfnet.model.mfnet import Prediction, join
from mfnet.scoring.loaders import Prediction as Placed
from mfnet.scoring.loaders import from_crop, from_lens, pixels_per_ndc
from mfnet.scoring.meshes import ItemError, Mesh

SIDE_YAW = 30.0
"""Degrees of the two views that complete a frontal one."""
METHODS = {
    "wild": ("mean_head", "mfnet_1", "mfnet_3_same_image", "mfnet_1_posed"),
    "lab": (
        "mean_head",
        "mfnet_1",
        "mfnet_1_averaged",
        "mfnet_3",
        "mfnet_3_same_image",
        "mfnet_1_posed",
        "mfnet_1_averaged_posed",
        "mfnet_3_posed",
        "mfnet_3_refined",
    ),
}
PERSON = ("shape", "expression", "jaw_pose")
"""What the views of one person share."""
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
    use_calibrated_camera: bool = False
    """``benchmark.use_calibrated_camera``: heads of the lab before the item's calibrated camera."""

    def methods(self, protocol: str) -> tuple[str, ...]:
        """The methods that can be run on ``wild`` or ``lab``."""
        known = {"mean_head": True, "mfnet_1": self.single, "mfnet_1_averaged": self.single}
        known["mfnet_3_refined"] = self.refiner if self.triple is not None else None
        needs = {name: known.get(name.removesuffix(POSED), self.triple) for name in METHODS[protocol]}
        return tuple(name for name, need in needs.items() if need is not None)


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
    answers: dict[str, Answer] = {}
    with one_thread(), torch.inference_mode():
        for method in methods:
            said = method.removesuffix(POSED)
            jobs = {item.name: _job(said, item, views) for item in items}
            good = {name: job for name, job in jobs.items() if isinstance(job, _Job)}
            if good and said not in answers:
                answers[said] = _ANSWERS[said](list(good.values()), views, models)
            posed = method.endswith(POSED)
            faces = _faces(answers[said], list(good.values()), views, models, posed) if good else []
            found = dict(zip(good, faces, strict=True))
            for name, job in jobs.items():
                results[method, name] = found.get(name, job)
    return results


# ------------------------------------------------------------------------------------------- which photographs it sees


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


# -------------------------------------------------------------------------------------------------------- what it says


class Answer(NamedTuple):
    """What a method says about B items, each in its own view."""

    shape: Tensor  # [B, n_shape] sigma units
    expression: Tensor  # [B, n_expression] sigma units
    jaw_pose: Tensor  # [B, 3] axis-angle
    global_pose: Tensor | None  # [B, 3] axis-angle; None: the landmarks tell
    camera: Tensor | None  # [B, 3] scaled orthography (s, tx, ty) in ndc of the crop; None: the landmarks tell
    inverse_distance: Tensor | None = None  # [B] 1 / distance of the camera, 1/m; None: nothing is known


def _of(prediction: Prediction, jobs: list[_Job], inverse_distance: Tensor | None = None) -> Answer:
    """Each item's part of what is said about its photographs; inverse_distance [B, V]."""
    rows = torch.arange(len(jobs)), torch.tensor([job.own for job in jobs])
    person = (getattr(prediction, name) for name in PERSON)
    own = (prediction.global_pose[rows], prediction.camera[rows])
    return Answer(*person, *own, None if inverse_distance is None else inverse_distance[rows])


def _mean_head(jobs: list[_Job], views: dict[str, FaceCrop], models: Models) -> Answer:
    counts = (models.flame.n_shape, models.flame.n_expression, 3)
    return Answer(*(torch.zeros(len(jobs), count, device=models.flame.faces.device) for count in counts), None, None)


def _single(jobs: list[_Job], views: dict[str, FaceCrop], models: Models) -> Answer:
    return _of(_predictions([[job.names[0]] for job in jobs], views, models.single), jobs)


def _averaged(jobs: list[_Job], views: dict[str, FaceCrop], models: Models) -> Answer:
    """The single-view model on each of the three images; person-level outputs averaged, pose and camera the item's."""
    each = _predictions([[name] for job in jobs for name in job.names], views, models.single)
    by_item = each.map(lambda values: values.unflatten(0, (len(jobs), len(SLOTS))))
    person = {name: getattr(by_item, name).mean(dim=1) for name in PERSON}
    own = {name: getattr(by_item, name)[:, :, 0] for name in ("global_pose", "camera", "albedo", "light")}
    return _of(Prediction(**person, **own), jobs)


def _triple(jobs: list[_Job], views: dict[str, FaceCrop], models: Models) -> Answer:
    return _of(_predictions([job.names for job in jobs], views, models.triple), jobs)


def _refined(jobs: list[_Job], views: dict[str, FaceCrop], models: Models) -> Answer:
    """The same three photographs serve several items (a side view and its mirror image): one fit for each set."""
    sets = {names: row for row, names in enumerate(dict.fromkeys(job.names for job in jobs))}
    landmarks = np.stack([np.stack([views[name].landmarks for name in names]) for names in sets])
    images = _images(list(sets), views, models.triple)
    answers = _predictions(list(sets), views, models.triple)
    refined, inverse_distance = models.refiner(models.flame, answers, images, torch.from_numpy(landmarks).to(images))
    rows = [sets[job.names] for job in jobs]
    return _of(refined.map(lambda values: values[rows]), jobs, inverse_distance[rows])


def _same_image(jobs: list[_Job], views: dict[str, FaceCrop], models: Models) -> Answer:
    names = [job.names * models.triple.params.views for job in jobs]
    return _of(_predictions(names, views, models.triple), jobs)


_ANSWERS = {
    "mean_head": _mean_head,
    "mfnet_1": _single,
    "mfnet_1_averaged": _averaged,
    "mfnet_3": _triple,
    "mfnet_3_same_image": _same_image,
    "mfnet_3_refined": _refined,
}


def _predictions(names: Sequence[Sequence[str]], views: dict[str, FaceCrop], network: torch.nn.Module) -> Prediction:
    """What the network says of every row of photographs."""
    parts = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
    return join([network(_images(part, views, network)) for part in parts])


def _images(names: Sequence[Sequence[str]], views: dict[str, FaceCrop], network: torch.nn.Module) -> Tensor:
    """Crops [B, V, 3, S, S] in 0..1 on the network's device."""
    crops = np.stack([np.stack([views[name].image for name in row]) for row in names])
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    return to_float(torch.from_numpy(crops).to(device).movedim(-1, 2))


# ---------------------------------------------------------------------------------------------- heads before cameras


def _faces(answer: Answer, jobs: list[_Job], views: dict[str, FaceCrop], models: Models, posed: bool) -> list[Face]:
    """The heads before their cameras; posed: by the landmarks of the item, whatever pose the answer holds."""
    own = [views[job.names[job.own]] for job in jobs]
    focals = [job.focal if models.use_calibrated_camera else None for job in jobs]
    if posed or answer.global_pose is None:
        answer = _by_landmarks(answer, own, focals, models.flame)
    vertices, centre = _heads(answer, models.flame)
    faces = []
    for row, (job, view, focal) in enumerate(zip(jobs, own, focals, strict=True)):
        parts = (vertices, answer.camera, centre, answer.inverse_distance)
        found = _place(*(None if part is None else part[row].double().cpu() for part in parts), view, focal)
        faces.append(Face(found.mesh.vertices, job.views(), len(set(job.names)), found.focal))
    return faces


def _by_landmarks(answer: Answer, own: list[FaceCrop], focals: list[float | None], flame: Flame) -> Answer:
    """The heads where the landmarks of their own views put them, through the lens where its focal length is known."""
    landmarks = np.stack([view.landmarks for view in own])
    pixels = [pixels_per_ndc(view.to_photograph, len(view.image)) for view in own]
    lens = np.array([length / focal if focal else 0.0 for length, focal in zip(pixels, focals, strict=True)])
    pose, camera = fit_poses(flame, landmarks, lens, answer.shape, answer.expression, answer.jaw_pose)
    return answer._replace(global_pose=pose, camera=camera, inverse_distance=None)


def _heads(answer: Answer, flame: Flame) -> tuple[Tensor, Tensor]:
    """Vertices [B, V, 3] in the axes of their views, and the depth at which the cameras' scale holds [B]; metres.

    An answer that is not finite gives vertices that are not: the head model refuses to be posed by NaN.
    """
    codes = {name: getattr(answer, name) for name in (*PERSON, "global_pose")}
    finite = torch.stack([values.isfinite().all(dim=1) for values in codes.values()]).all(dim=0)
    output = flame(**{name: values.nan_to_num(0, 0, 0) for name, values in codes.items()})
    return torch.where(finite[:, None, None], output.vertices, torch.nan), reference_depth(output.landmarks)


def _place(vertices, camera, centre, inverse_distance, view: FaceCrop, focal: float | None) -> Placed:
    """One head before its camera: at the fitted distance, else at the one that the calibrated focal length and the
    camera's scale give, else in the image cube as the official loaders of orthographic methods place it.
    """
    crop = view.to_photograph, len(view.image)
    if inverse_distance is None and focal is None:
        return from_crop(_points(project_orthographic(vertices[None], camera[None])[0].numpy()), *crop)
    if inverse_distance is None:
        inverse_distance = pixels_per_ndc(*crop) * camera[0] / focal
    return from_lens(_points(vertices.numpy()), camera.numpy(), float(inverse_distance), float(centre), *crop)


def _points(vertices: np.ndarray) -> Mesh:
    return Mesh(vertices, np.empty((0, 3), np.int64))
