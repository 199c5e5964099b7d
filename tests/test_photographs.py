"""Photographs and the squares that are cut out of them."""

from pathlib import Path

import numpy as np

from mfnet.geometry import crop_face
from mfnet.geometry.crops import CropBox, crop_image
from mfnet.photographs import Photograph


def test_what_a_crop_shows_of_the_photograph_is_known():
    image = np.full((60, 80, 3), 255, np.uint8)
    landmarks = np.random.default_rng(0).uniform(20, 50, (68, 2))
    photograph = Photograph(Path("a.png"), image, landmarks, 1.0, crop_face(image, landmarks, 1.25, 32))
    for box, size in ((CropBox(35.3, 31.9, 110.0), 64), (CropBox(70.2, 10.0, 40.0), 40), (CropBox(40, 30, 20.0), 16)):
        white = crop_image(image, box, size)[..., 0]
        covered = photograph.covers(box, size)
        assert (white[covered] == 255).all() and covered.sum() > 0.9 * (white == 255).sum()
