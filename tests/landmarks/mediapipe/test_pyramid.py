"""Squares of a photograph, at whatever size."""

import cv2
import numpy as np
import pytest

from mfnet.geometry.crops import CropBox, crop_image
from mfnet.landmarks.mediapipe.pyramid import Pyramid

NOISE = np.random.default_rng(0).uniform(0, 255, (20, 30, 3))
SMOOTH = cv2.resize(NOISE, (1501, 1001), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("angle", [0.0, 0.7, np.pi])
@pytest.mark.parametrize("side", [60.0, 300.0, 1100.0, 2500.0])
def test_a_square_from_a_level_is_the_square_from_the_whole(side, angle):
    square = CropBox(777.3, 512.8, side, angle)
    difference = Pyramid(SMOOTH).crop(square, 128).astype(int) - crop_image(SMOOTH, square, 128)
    assert np.abs(difference).mean() < 1


def test_what_lies_beside_the_image_is_black():
    photo = Pyramid(SMOOTH)
    assert not photo.crop(CropBox(-500, -500, 100), 32).any() and not photo.crop(CropBox(1e6, 5, 100), 32).any()


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("shape", [(1000, 1500), (1500, 1000), (100, 1600)])
def test_tiles_cover_the_image_and_overlap_by_half(shape, parts):
    tiles = Pyramid(np.zeros((*shape, 3), np.uint8)).tiles(parts)
    side = max(shape) / parts
    for axis, extent in (("centre_x", shape[1]), ("centre_y", shape[0])):
        at = np.unique([getattr(tile, axis) for tile in tiles])
        assert all(tile.side == side for tile in tiles)
        assert at[0] - side / 2 <= 0 and at[-1] + side / 2 >= extent and (np.diff(at) <= side / 2 + 1e-9).all()


def test_levels_halve_down_to_what_the_networks_see():
    shapes = [level.shape[:2] for level in Pyramid(SMOOTH).levels]
    assert shapes == [(1001, 1501), (500, 750), (250, 375)]
