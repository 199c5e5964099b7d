"""The FaceScape benchmark from photographs to scores: find and crop the faces, predict, score."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mfnet.benchmark.methods import Crops, Models, Result, predict
from mfnet.benchmark.names import ABLATION, BY_NAME
from mfnet.benchmark.predictions import ItemTask, score_predictions
from mfnet.compute.executor import SERIAL, Compute
from mfnet.datasets.facescape import Item, image_path, read_image
from mfnet.errors import InputError
from mfnet.flame import Flame
from mfnet.geometry import FaceCrop, crop_face
from mfnet.landmarks.backends import Detection
from mfnet.model.mfnet import MFNet
from mfnet.scoring.meshes import ItemError
from mfnet.scoring.score import Benchmark, score_table


@dataclass(frozen=True)
class Cropper:
    """Finds the faces of photographs and cuts them out as the networks saw them in training."""

    detect: Callable[[list[str], list[np.ndarray]], list[Detection]]
    """`mfnet.landmarks.backends.LandmarkBackend.detect`, (paths relative to the benchmark's data folder, images) ->
    Detections."""
    size: int
    """Side of the crops, px."""
    scale: float
    """Their side over the larger one of the landmarks' box."""

    def __call__(self, items: Sequence[Item], data: str | Path) -> Crops:
        """Read, find and crop the image of every item of the benchmark folder `data`."""
        views: Crops = {}
        paths, images = {}, {}
        for item in items:
            try:
                images[item.name] = read_image(data, item)
                path = image_path(data, item)
                paths[item.name] = f"{path.parent.name}/{path.name}"
            except InputError as error:
                views[item.name] = ItemError("missing_image", str(error))
        found = self.detect(list(paths.values()), list(images.values())) if images else []
        for (name, image), detection in zip(images.items(), found, strict=True):
            views[name] = self._crop(image, detection)
        return views

    def _crop(self, image: np.ndarray, detection: Detection) -> FaceCrop | ItemError:
        if detection.landmarks is None or not np.isfinite(detection.landmarks).all():
            return ItemError("no_landmarks", detection.reason or "the detected landmarks are not finite")
        try:
            return crop_face(image, detection.landmarks, self.scale, self.size)
        except InputError as error:
            return ItemError("no_landmarks", str(error))


@dataclass(frozen=True)
class BenchmarkResult:
    """What the methods predict on the items of a benchmark, and how well."""

    scores: pd.DataFrame
    """`score_table`: a row for each method and item, ablation variants too, with views, n_views, status, reason."""
    faces: Result
    """(method, item name) -> predicted head, or why there is none; without the ablation variants."""
    distances: dict[tuple[str, str], np.ndarray]
    """(method, item name) -> distances to the ground truth seen from the front [180, 180], mm, NaN beside the face, of
    the items that were asked for; without the ablation variants."""


def run_protocol(
    benchmark: Benchmark,
    models: Models,
    cropper: Cropper,
    variants: dict[str, MFNet] | None = None,
    shown: Sequence[str] = (),
    compute: Compute = SERIAL,
) -> BenchmarkResult:
    """Predict and score every method on every item.

    variants: see `predict_variants`; shown: names of the items whose distances are kept.
    """
    items = benchmark.items
    views = cropper(items, benchmark.root)
    results = predict(benchmark.protocol, items, views, models)
    every = results | predict_variants(items, views, models.flame, variants or {})
    triangles = models.flame.faces.cpu().numpy()
    methods = list(dict.fromkeys(method for method, _ in every))
    tasks = [
        ItemTask(item, benchmark.root, triangles, {m: every[m, item.name] for m in methods}, item.name in shown)
        for item in items
    ]
    scores = list(compute.map(score_predictions, tasks, f"score {benchmark.protocol}"))
    distances = {
        (method, item.name): values
        for item, score in zip(items, scores, strict=True)
        for method, values in score.distances.items()
        if not method.startswith(ABLATION)
    }
    return BenchmarkResult(score_table([row for score in scores for row in score.rows]), results, distances)


def predict_variants(items: Sequence[Item], views: Crops, flame: Flame, variants: dict[str, MFNet]) -> Result:
    """Table 3's way of testing: each variant sees the item's one image, in every slot it has.

    variants: ``<variant>-<seed>`` -> network of one or three views. The methods are called ABLATION + name.
    """
    results: Result = {}
    for name, network in variants.items():
        if network.params.views == 1:
            models, method = Models(flame, network, None), BY_NAME["mfnet_1"]
        else:
            models, method = Models(flame, None, network), BY_NAME["mfnet_3_same_image"]
        found = predict("wild", items, views, models, [method])
        results |= {(ABLATION + name, item): face for (_, item), face in found.items()}
    return results


def pictured_items(items: Sequence[Item], count: int) -> list[str]:
    """Names of up to `count` items spread over the bins: the first of each bin, then the second, and so on."""
    by_bin: dict[str, list[str]] = {}
    for item in items:
        by_bin.setdefault(item.bin, []).append(item.name)
    turns = [names[turn] for turn in range(len(items)) for names in by_bin.values() if turn < len(names)]
    return sorted(turns[:count])
