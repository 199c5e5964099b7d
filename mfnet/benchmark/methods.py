"""Benchmark methods: choose the input views, predict, place the mesh in the evaluator's camera.

`mfnet.benchmark.names` has the table of the methods.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mfnet.benchmark.names import Method, methods_of
from mfnet.benchmark.predictions import PredictedHead
from mfnet.compute.compiled import one_thread
from mfnet.datasets.facescape import LAB_VIEWS, Item, LabItem, lab_index, lab_name
from mfnet.datasets.plan import SLOTS
from mfnet.errors import InputError
from mfnet.fitting.batch import Refiner
from mfnet.fitting.pose import fit_poses
from mfnet.flame import Flame
from mfnet.geometry import FaceCrop, project_orthographic, reference_depth
from mfnet.io.images import to_float
from mfnet.model.mfnet import MFNet
from mfnet.model.parameters import Person, Prediction, View
from mfnet.scoring.loaders import PlacedMesh, from_crop, from_lens, pixels_per_ndc
from mfnet.scoring.meshes import ItemError, Mesh

SIDE_YAW = 30.0
"""Degrees of the two views that complete a frontal one."""
BATCH = 32
"""People whom a network sees at once."""

Result = dict[tuple[str, str], PredictedHead | ItemError]
"""(method's name, item's name) -> the predicted head in the evaluator's camera, or why there is none."""
Crops = dict[str, FaceCrop | ItemError]
"""Item's name -> the crop of its face, or why there is none."""


@dataclass(frozen=True)
class Models:
    """What the methods need. A method whose network or refiner is None is not run."""

    flame: Flame
    single_view: MFNet | None
    """MFNet of one view."""
    multi_view: MFNet | None
    """MFNet of three views."""
    refiner: Refiner | None = None
    """How predictions of the methods that refine are fitted further."""
    use_calibrated_camera: bool = False
    """``benchmark.use_calibrated_camera``: heads of the lab before the item's calibrated camera."""

    def network(self, method: Method) -> MFNet | None:
        """The network that a method runs; None: there is none, or the method needs none."""
        return {"single_view": self.single_view, "multi_view": self.multi_view, None: None}[method.network]

    def can_run(self, method: Method) -> bool:
        """Whether all that the method needs is there."""
        if method.refined and self.refiner is None:
            return False
        return method.network is None or self.network(method) is not None

    def methods(self, protocol: str) -> tuple[Method, ...]:
        """The methods that can be run on ``wild`` or ``lab``, in the order of the tables."""
        return tuple(method for method in methods_of(protocol) if self.can_run(method))


def predict(
    protocol: str, items: Sequence[Item], crops: Crops, models: Models, methods: Sequence[Method] | None = None
) -> Result:
    """Every method's head for every item, in the order of methods (None: all that can be run), then items.

    Runs on one CPU thread or on the device of the networks: the result does not depend on the machine's cores.
    """
    results: Result = {}
    predictions: list[tuple[Method, Prediction]] = []  # methods that differ in the pose alone share one
    found = {name: crop for name, crop in crops.items() if not isinstance(crop, ItemError)}
    with one_thread(), torch.inference_mode():
        for method in models.methods(protocol) if methods is None else methods:
            inputs = {item.name: choose_inputs(method, item, crops) for item in items}
            usable = {name: chosen for name, chosen in inputs.items() if isinstance(chosen, Inputs)}
            faces: dict[str, PredictedHead] = {}
            if usable:
                chosen = list(usable.values())
                prediction = next((heads for other, heads in predictions if other.same_heads(method)), None)
                if prediction is None:
                    prediction = predict_heads(method, chosen, found, models)
                    predictions.append((method, prediction))
                faces = dict(zip(usable, place_heads(method, prediction, chosen, found, models), strict=True))
            for name, chosen in inputs.items():
                results[method.name, name] = chosen if isinstance(chosen, ItemError) else faces[name]
    return results


# ---------------------------------------------------------------------------------------------------- input views


def slot_of(view: int) -> str:
    """The slot of a lab view: ``right`` (camera on the subject's right) for yaw > 0, ``left`` for < 0, else frontal."""
    yaw = LAB_VIEWS[view][0]
    if yaw == 0:
        return "frontal"
    return "right" if yaw > 0 else "left"


def companions(item: LabItem) -> dict[str, str]:
    """Slot -> name of the three images that mfnet_3 sees for an item, all of its subject and focal length.

    A side view keeps its slot; the frontal view and its mirror image (yaw of the other sign, same pitch) complete it.
    A view without yaw takes the frontal slot, between the fixed pair at -30 and +30 degrees.
    """
    slot = slot_of(item.view)
    yaw, pitch = LAB_VIEWS[item.view]
    if slot == "frontal":
        chosen = {"frontal": item.view, "left": _view_at(-SIDE_YAW, 0.0), "right": _view_at(SIDE_YAW, 0.0)}
    else:
        mirrored = "left" if slot == "right" else "right"
        chosen = {"frontal": _view_at(0.0, 0.0), slot: item.view, mirrored: _view_at(-yaw, pitch)}
    return {slot: lab_name(lab_index(item.subject, item.focal, chosen[slot])) for slot in SLOTS}


def _view_at(yaw: float, pitch: float) -> int:
    return int(np.argmin([np.hypot(yaw - y, pitch - p) for y, p in LAB_VIEWS]))


@dataclass(frozen=True)
class Inputs:
    """The photographs that a method sees for one item."""

    names: tuple[str, ...]
    """Of the images: one, or three in slot order."""
    item_view: int
    """Which of them is the item's own."""
    focal: float | None
    """Of the item's calibrated camera, px of the 256 px image; None in the orthographic wild."""

    def description(self) -> str:
        """Their names, with their slots where there are three, for the tables."""
        if len(self.names) == 1:
            return self.names[0]
        return " ".join(f"{slot}={name}" for slot, name in zip(SLOTS, self.names, strict=True))


def choose_inputs(method: Method, item: Item, crops: Crops) -> Inputs | ItemError:
    """The photographs that `method` sees for `item`, or why one of them cannot be used."""
    focal = float(item.intrinsics[0, 0]) if isinstance(item, LabItem) else None
    if method.views == 1:
        inputs = Inputs((item.name,), 0, focal)
    elif isinstance(item, LabItem):
        names = companions(item)
        inputs = Inputs(tuple(names[slot] for slot in SLOTS), SLOTS.index(slot_of(item.view)), focal)
    else:
        raise InputError(f"{method.name}: takes three views of a subject, and the wild set has one image of each")
    for name in inputs.names:
        crop = crops.get(name, ItemError("missing_image", f"{name}: no such item in this benchmark folder"))
        if isinstance(crop, ItemError):
            return crop if name == item.name else ItemError(crop.status, f"view {name}: {crop.reason}")
    return inputs


# -------------------------------------------------------------------------------------------------------- predict


def predict_heads(method: Method, inputs: list[Inputs], crops: dict[str, FaceCrop], models: Models) -> Prediction:
    """The prediction of a method for B items, each in its own view (V = 1).

    Raises InputError where `models` lack the network that the method runs.
    """
    if method.network is None:
        return mean_heads(len(inputs), models.flame)
    network = models.network(method)
    if network is None:
        raise InputError(f"{method.name}: needs the {method.network} network, which is not loaded")
    if method.refined:
        prediction = _refined([chosen.names for chosen in inputs], crops, models)
    elif method.views == 1:
        prediction = _run_network([chosen.names * network.params.views for chosen in inputs], crops, network)
    elif method.network == "single_view":
        prediction = _averaged([chosen.names for chosen in inputs], crops, network)
    else:
        prediction = _run_network([chosen.names for chosen in inputs], crops, network)
    return prediction.of_view(torch.tensor([chosen.item_view for chosen in inputs]))


def mean_heads(count: int, flame: Flame) -> Prediction:
    """The mean head `count` times, in one view each; pose and camera are left to the landmarks."""
    device = flame.faces.device

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(count, *shape, device=device)

    person = Person(zeros(flame.n_shape), zeros(flame.n_expression), zeros(3))
    return Prediction(person, View(zeros(1, 3), zeros(1, 3), zeros(1), zeros(1, 0), zeros(1, 9, 3)))


def _averaged(names: list[tuple[str, ...]], crops: dict[str, FaceCrop], network: MFNet) -> Prediction:
    """The single-view network on each of the three images: persons averaged, each view's own outputs kept."""
    alone = _run_network([(name,) for row in names for name in row], crops, network)
    person = alone.person.map(lambda code: code.unflatten(0, (len(names), len(SLOTS))).mean(dim=1))
    views = alone.views.map(lambda value: value.unflatten(0, (len(names), len(SLOTS)))[:, :, 0])
    return Prediction(person, views)


def _refined(names: list[tuple[str, ...]], crops: dict[str, FaceCrop], models: Models) -> Prediction:
    """The multi-view network's predictions, fitted further.

    The same three photographs serve several items (a side view and its mirror image): one fit for each set.
    """
    if models.multi_view is None or models.refiner is None:
        raise InputError("methods that refine need the network of three views and a refiner")
    row_of = {photographs: row for row, photographs in enumerate(dict.fromkeys(names))}
    sets = list(row_of)
    landmarks = np.stack([np.stack([crops[name].landmarks for name in photographs]) for photographs in sets])
    images = _images(sets, crops, models.multi_view)
    prediction = _run_network(sets, crops, models.multi_view)
    refined = models.refiner(prediction, images, torch.from_numpy(landmarks).to(images))
    return refined[[row_of[photographs] for photographs in names]]


def _run_network(names: Sequence[Sequence[str]], crops: dict[str, FaceCrop], network: MFNet) -> Prediction:
    """The network's prediction for every row of photographs."""
    parts = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
    return Prediction.cat([network(_images(part, crops, network)) for part in parts])


def _images(names: Sequence[Sequence[str]], crops: dict[str, FaceCrop], network: MFNet) -> Tensor:
    """Crops [B, V, 3, S, S] in 0..1 on the network's device."""
    pixels = np.stack([np.stack([crops[name].image for name in row]) for row in names])
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    return to_float(torch.from_numpy(pixels).to(device).movedim(-1, 2))


# ------------------------------------------------------------------------------- place in the evaluator's camera


def place_heads(
    method: Method, prediction: Prediction, inputs: list[Inputs], crops: dict[str, FaceCrop], models: Models
) -> list[PredictedHead]:
    """The heads of `predict_heads` where the evaluator expects them: see `_place`."""
    own_crops = [crops[chosen.names[chosen.item_view]] for chosen in inputs]
    focals = [chosen.focal if models.use_calibrated_camera else None for chosen in inputs]
    if method.pose == "landmarks":
        prediction = _posed_by_landmarks(prediction, own_crops, focals, models.flame)
    vertices, centre = _posed_vertices(prediction, models.flame)
    views = prediction.views
    faces = []
    for row, (chosen, crop, focal) in enumerate(zip(inputs, own_crops, focals, strict=True)):
        fitted = method.refined and method.pose == "network"
        placed = _place(
            vertices[row].double().cpu(),
            views.camera[row, 0].double().cpu(),
            float(centre[row]),
            float(views.inverse_distance[row, 0]) if fitted else None,
            crop,
            focal,
        )
        faces.append(PredictedHead(placed.mesh.vertices, chosen.description(), len(set(chosen.names)), placed.focal))
    return faces


def _posed_by_landmarks(
    prediction: Prediction, crops: list[FaceCrop], focals: list[float | None], flame: Flame
) -> Prediction:
    """The heads where the landmarks of their own views put them, through the lens where its focal length is known."""
    landmarks = np.stack([crop.landmarks for crop in crops])
    pixels = [pixels_per_ndc(crop.to_photograph, len(crop.image)) for crop in crops]
    lens = np.array([length / focal if focal else 0.0 for length, focal in zip(pixels, focals, strict=True)])
    pose, camera = fit_poses(flame, landmarks, lens, prediction.person)
    return replace(prediction, views=replace(prediction.views, global_pose=pose[:, None], camera=camera[:, None]))


def _posed_vertices(prediction: Prediction, flame: Flame) -> tuple[Tensor, Tensor]:
    """Vertices [B, N, 3] in the axes of their views, and the depth at which the cameras' scale holds [B]; metres.

    A prediction that is not finite gives vertices that are not: the head model refuses to be posed by NaN.
    """
    codes = prediction.person.named_tensors() | {"global_pose": prediction.views.global_pose[:, 0]}
    finite = torch.stack([values.isfinite().all(dim=1) for values in codes.values()]).all(dim=0)
    output = flame(**{name: values.nan_to_num(0, 0, 0) for name, values in codes.items()})
    return torch.where(finite[:, None, None], output.vertices, torch.nan), reference_depth(output.landmarks)


def _place(
    vertices: Tensor,
    camera: Tensor,
    centre: float,
    inverse_distance: float | None,
    crop: FaceCrop,
    focal: float | None,
) -> PlacedMesh:
    """One head before a camera at the fitted distance (`inverse_distance`), else at the one that the calibrated focal
    length and the camera's scale give, else in the image cube as the official loaders of orthographic methods place it.

    vertices [N, 3] metres; camera [3] scaled orthography, whose scale holds at the depth `centre`.
    """
    of_crop = crop.to_photograph, len(crop.image)
    if inverse_distance is None:
        if focal is None:
            return from_crop(_points(project_orthographic(vertices[None], camera[None])[0].numpy()), *of_crop)
        inverse_distance = float(pixels_per_ndc(*of_crop) * camera[0] / focal)
    return from_lens(_points(vertices.numpy()), camera.numpy(), inverse_distance, centre, *of_crop)


def _points(vertices: np.ndarray) -> Mesh:
    return Mesh(vertices, np.empty((0, 3), np.int64))
