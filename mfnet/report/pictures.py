"""Pictures of the report: photographs, overlays, and the head from new views."""

import cv2
import numpy as np
import torch
from torch import Tensor

from mfnet.datasets.triplets import TripletBatch, TripletShards
from mfnet.geometry import ndc_to_pixels
from mfnet.reconstruction import draw_new_view, draw_overlay, reconstruct

NEW_VIEWS = (60.0, 0.0, -60.0)
"""Yaw of the views that no photograph shows, degrees."""
TILE = 168
"""Side of a tile, pixels."""


def first_of_each_subject(shards: TripletShards, count: int) -> TripletBatch:
    """The first triplet of each of the first `count` subjects, in the shards' order."""
    rows = shards.order(None)
    (batch,) = shards.batches([rows])
    _, first = np.unique(batch.subject.numpy(), return_index=True)
    chosen = torch.from_numpy(np.sort(first)[:count])
    return TripletBatch(
        *(getattr(batch, name)[chosen] for name in ("triplet", "subject", "images", "landmarks", "yaw"))
    )


def person_sheet(model, flame, batch: TripletBatch, item: int) -> np.ndarray:
    """One person as uint8 [2 TILE, 6 TILE, 3]: photographs with landmarks and overlays, clay and textured views."""
    photos = batch.pixels()[item]
    person = reconstruct(model, flame, photos)
    marked = torch.stack([_mark(photo, points) for photo, points in zip(photos, batch.landmarks[item], strict=True)])
    clay = [draw_new_view(person, yaw, TILE, with_texture=False) for yaw in NEW_VIEWS]
    skin = [draw_new_view(person, yaw, TILE, with_texture=True) for yaw in NEW_VIEWS]
    top = [_resize(tile) for tile in (*marked, *draw_overlay(person, photos))]
    rows = [torch.cat(row, 2) for row in (top, [*clay, *skin])]
    return to_bytes(torch.cat(rows, 1))


def encode_png(image: np.ndarray) -> bytes:
    """uint8 RGB [H, W, 3] as PNG."""
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def to_bytes(image: Tensor) -> np.ndarray:
    """[3, H, W] in [0, 1] -> uint8 [H, W, 3]."""
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def _resize(image: Tensor) -> Tensor:
    return torch.nn.functional.interpolate(image[None], size=(TILE, TILE), mode="bicubic", antialias=True)[0].clamp(
        0, 1
    )


def _mark(photo: Tensor, landmarks: Tensor) -> Tensor:
    """The photograph [3, H, W] with its landmarks [68, 2] (ndc) as dots, twice as large."""
    large = torch.nn.functional.interpolate(photo[None], scale_factor=2, mode="bilinear")[0]
    canvas = np.ascontiguousarray(to_bytes(large))
    for x, y in ndc_to_pixels(landmarks, canvas.shape[1], canvas.shape[0]).tolist():
        cv2.circle(canvas, (round(x * 8), round(y * 8)), 14, (70, 255, 120), -1, cv2.LINE_AA, shift=3)
    return torch.from_numpy(canvas).permute(2, 0, 1) / 255
