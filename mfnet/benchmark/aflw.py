"""AFLW2000-3D: landmark error by yaw range, and a grid of pictures as the paper's Fig. 5."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mfnet.datasets.aflw2000 import YAW_BINS, AflwItem, Rejected, read_item
from mfnet.errors import InputError
from mfnet.flame import Flame
from mfnet.geometry import (
    FaceCrop,
    clip_from_orthographic,
    crop_box,
    crop_face,
    ndc_to_pixels,
    project_orthographic,
    transform_points,
)
from mfnet.io.images import to_float
from mfnet.model.mfnet import MFNet

BATCH = 16


@dataclass(frozen=True)
class AflwResult:
    """One photograph and what MFNet makes of it."""

    item: AflwItem
    landmarks: np.ndarray
    """[68, 2] predicted, image px."""
    crop: FaceCrop
    """What the network saw."""
    vertices: Tensor
    """[V, 3] posed head, metres."""
    clip: Tensor
    """[V, 4] where it falls in the crop."""


def normalised_mean_error(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance of 68 points [68, 2] over sqrt(width x height) of the true points' bounding box."""
    size = np.sqrt(np.prod(np.ptp(truth, axis=0)))
    return float(np.linalg.norm(predicted - truth, axis=1).mean() / size)


@torch.inference_mode()
def reconstruct_items(
    items: Sequence[AflwItem], model: MFNet, flame: Flame, size: int, crop_scale: float
) -> list[AflwResult]:
    """MFNet on single photographs: a model of several views gets the same image in every slot, as the paper does.

    Crops are taken around the annotated landmarks, as is customary on this set, `crop_scale` times as large.
    """
    crops = [crop_face(item.image, item.landmarks, crop_scale, size) for item in items]
    device = next(model.parameters()).device
    images = to_float(torch.from_numpy(np.stack([crop.image for crop in crops])).to(device).movedim(-1, 1))
    prediction = model(images[:, None].expand(-1, model.params.views, -1, -1, -1))
    person, pose, camera = prediction.person, prediction.views.global_pose[:, 0], prediction.views.camera[:, 0]
    output = flame(person.shape, person.expression, pose, jaw_pose=person.jaw_pose)
    ndc = project_orthographic(output.landmarks_full, camera)[..., :2]
    in_crop = ndc_to_pixels(ndc, size, size).double().cpu().numpy()
    clip = clip_from_orthographic(output.vertices, camera).cpu()
    results = []
    for row, (item, crop) in enumerate(zip(items, crops, strict=True)):
        landmarks = transform_points(in_crop[row], crop.to_photograph)
        results.append(AflwResult(item, landmarks, crop, output.vertices[row].cpu(), clip[row]))
    return results


def score_images(
    files: Iterable[Path], model: MFNet, flame: Flame, size: int, crop_scale: float, pictures: int = 0
) -> tuple[pd.DataFrame, list[AflwResult]]:
    """Read and score images: the table, and `pictures` results spread evenly over the yaw ranges.

    Columns: name, yaw (deg), bin, nme, status (ok, rejected), reason. A bad pair keeps a row with its reason.
    """
    from tqdm import tqdm

    rows, kept, batch = [], {name: [] for name in YAW_BINS}, []
    wanted = -(-pictures // len(YAW_BINS))

    def flush() -> None:
        for result in reconstruct_items(batch, model, flame, size, crop_scale) if batch else []:
            item = result.item
            error = normalised_mean_error(result.landmarks, item.landmarks)
            rows.append({"name": item.name, "yaw": item.yaw, "bin": item.bin, "nme": error, "status": "ok"})
            if len(kept[item.bin]) < wanted:
                kept[item.bin].append(result)
        batch.clear()

    for path in tqdm(list(files), desc="aflw2000", disable=None):
        try:
            item = read_item(path)
            crop_box(item.landmarks, crop_scale)
        except (Rejected, InputError) as error:
            row = {"name": Path(path).stem, "yaw": np.nan, "bin": "", "nme": np.nan}
            rows.append({**row, "status": "rejected", "reason": str(error)})
            continue
        batch.append(item)
        if len(batch) == BATCH:
            flush()
    flush()
    table = pd.DataFrame(rows, columns=["name", "yaw", "bin", "nme", "status", "reason"]).fillna({"reason": ""})
    chosen = [result for name in YAW_BINS for result in kept[name]][: max(pictures, 0)]
    return table.sort_values("name", ignore_index=True), chosen


def nme_by_yaw(table: pd.DataFrame) -> pd.DataFrame:
    """Mean NME by yaw range: columns bin, nme, items; then ``mean`` (of the three ranges, as is customary) and ``all``.

    `items` counts images with a result; a rejected image has no known yaw, so only ``all`` can say what is missing.
    """
    rows = []
    for name in YAW_BINS:
        values = table.loc[table["bin"] == name, "nme"].dropna()
        rows.append({"bin": name, "nme": values.mean(), "items": len(values)})
    every = table["nme"].dropna()
    rows.append({"bin": "mean", "nme": float(np.mean([row["nme"] for row in rows])), "items": len(every)})
    rows.append({"bin": "all", "nme": every.mean(), "items": len(every)})
    return pd.DataFrame(rows)


def picture_grid(results: Sequence[AflwResult], flame: Flame, size: int = 192) -> np.ndarray:
    """Pictures [H, W, 3] uint8, a row for each result: crop, landmarks (true green, predicted red), overlay, head."""
    import cv2

    from mfnet.export.pictures import grid, overlay_head, overlay_points, render_head

    rows = []
    for result in results:
        crop, to_crop = result.crop.image, result.crop.matrix
        large = cv2.resize(crop, (size, size), interpolation=cv2.INTER_CUBIC)
        scale = size / len(crop)
        marked = overlay_points(large, scale * transform_points(result.item.landmarks, to_crop), (40, 200, 60))
        marked = overlay_points(marked, scale * transform_points(result.landmarks, to_crop), (220, 40, 40))
        over = overlay_head(large, result.vertices, result.clip, flame)
        rows.append([large, marked, over, render_head(result.vertices, flame, size)])
    if not rows:
        raise InputError("picture grid: no image could be scored")
    return grid(rows)
