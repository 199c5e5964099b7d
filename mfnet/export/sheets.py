"""Pictures of the report: photographs, overlays, and the head from new views."""

import numpy as np
import torch
from PIL import Image

from mfnet.datasets.triplets import TripletBatch, TripletShards
from mfnet.export.pictures import grid, overlay_head, overlay_points, render_head
from mfnet.flame.model import Flame
from mfnet.geometry import clip_from_orthographic, ndc_to_pixels
from mfnet.model.mfnet import MFNet
from mfnet.model.reconstruction import Reconstruction, reconstruct

NEW_VIEWS = (60.0, 0.0, -60.0)
"""Yaw of the views that no photograph shows, degrees."""
TILE = 168
"""Side of a tile, pixels."""


def first_of_each_subject(shards: TripletShards, count: int) -> TripletBatch:
    """The first triplet of each of the first `count` subjects, in the shards' order."""
    (batch,) = shards.batches([shards.order(None)])
    _, first = np.unique(batch.subject.numpy(), return_index=True)
    chosen = torch.from_numpy(np.sort(first)[:count])
    return batch.map(lambda value: value[chosen])


def person_sheet(model: MFNet, flame: Flame, batch: TripletBatch, item: int, inverse_distance: float) -> np.ndarray:
    """One person, uint8 [H, W, 3]: photographs with landmarks and overlays; below, clay and textured new views.

    Only as many photographs as the model takes, the frontal one first. inverse_distance: of the cameras, 1/m
    (``loss.camera_distance``).
    """
    views = model.params.views
    person = reconstruct(model, flame, batch.pixels()[item, :views], inverse_distance)
    photos = [_enlarged(image.permute(1, 2, 0).numpy()) for image in batch.images[item, :views]]
    points = ndc_to_pixels(batch.landmarks[item, :views], TILE, TILE).numpy()
    marked = [overlay_points(photo, own) for photo, own in zip(photos, points, strict=True)]
    overlays = [_overlay(photo, person, view, flame) for view, photo in enumerate(photos)]
    clay = [render_head(person.canonical, flame, TILE, yaw) for yaw in NEW_VIEWS]
    skin = [render_head(person.canonical, flame, TILE, yaw, texture=person.texture) for yaw in NEW_VIEWS]
    return grid([[*marked, *overlays], [*clay, *skin]])


def _enlarged(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((TILE, TILE), Image.Resampling.BICUBIC))


def _overlay(photo: np.ndarray, person: Reconstruction, view: int, flame: Flame) -> np.ndarray:
    camera, divisor = person.cameras[view], person.divisor[view]
    clip = clip_from_orthographic(person.vertices[view][None], camera[None], divisor[None])[0]
    return overlay_head(photo, person.vertices[view], clip, flame)
