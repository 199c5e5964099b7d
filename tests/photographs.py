"""Photographs of a rendered person in files, for the tests of what users call."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from mfnet.synthetic.sampler import CropFormat, Sample, Sampler
from mfnet.synthetic.subjects import texture_pool
from tests.heads import open_flame
from tests.settings import CROP_SCALE, PLAIN_SAMPLER

SIZE, BORDER = 256, 64
"""Side of the rendered crop and of the grey around it, pixels: a photograph is no tight crop."""


@cache
def rendered_person() -> Sample:
    """One person from the front, from the left and from the right."""
    flame = open_flame()
    crop = CropFormat(SIZE, CROP_SCALE, 2)
    sampler = Sampler(flame, texture_pool(flame, 1, 256, seed=3), crop, PLAIN_SAMPLER)
    return sampler.sample(np.random.default_rng(3), 1)


def write_photographs(folder: Path) -> list[Path]:
    """frontal.png, left.png and right.png of `rendered_person`."""
    paths = [folder / f"{name}.png" for name in ("frontal", "left", "right")]
    for path, image in zip(paths, rendered_person().images[0], strict=True):
        pixels = image.permute(1, 2, 0).numpy()[..., ::-1]
        cv2.imwrite(str(path), cv2.copyMakeBorder(pixels, *[BORDER] * 4, cv2.BORDER_REPLICATE))
    return paths
