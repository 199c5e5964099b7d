"""How far a detector's landmarks are off on drawn heads, by region and yaw: the rows of `mfnet.fitting.noise.SIGMAS`.

    python -m benchmarks.landmark_noise --detector mediapipe --people 40

Heads of random people, lights, hair and clutter are drawn frontal, turned to both sides and in profile, with as much
around the face as a photograph has. Errors are root mean squares of a coordinate over all points, hidden ones too, in
px of a 128 px crop.
"""

import argparse
from collections import defaultdict

import cv2
import numpy as np
import torch

from mfnet.fitting.noise import OPENINGS, PAIRS, REGIONS, YAWS
from mfnet.flame import load_project_head
from mfnet.geometry import ndc_to_pixels
from mfnet.landmarks.backends import make_backend
from mfnet.params import load_params
from mfnet.synthetic.sampler import CropFormat, Sampler
from mfnet.synthetic.subjects import texture_pool

SIZE, SCALE = 320, 2.2
"""Side of the drawn pictures, pixels, and over the landmarks' box."""
SKINS = 8
CROP, CROP_SCALE = 128, 1.25
"""The crop whose pixels are the unit."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="mediapipe", help="as landmarks.backend (default: %(default)s)")
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--weights", default="data/pretrained/landmarks.safetensors", help="of the embedded network")
    parser.add_argument("--params", default="params.yaml", help="params file (default: %(default)s)")
    parser.add_argument("--head", default="data/head", help="folder of stage head")
    args = parser.parse_args()
    params = load_params(args.params)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    flame = load_project_head(args.head, params.flame)
    backend = make_backend(params.landmarks.model_copy(update={"backend": args.detector}), ".", args.weights)
    sampler = Sampler(flame, texture_pool(flame, SKINS, 512, seed=5), CropFormat(SIZE, SCALE, 1), params.sampler)
    rng = np.random.default_rng(11)
    errors, seen = defaultdict(list), defaultdict(int)
    for _ in range(args.people):
        sample = sampler.sample(rng, 1, 3)
        images = [image.permute(1, 2, 0).contiguous().numpy() for image in sample.images[0]]
        found = backend.detect([""] * len(images), images)
        for detection, truth, yaw in zip(found, sample.landmarks[0], sample.yaw[0], strict=True):
            column = int(np.searchsorted(YAWS, abs(float(yaw))))
            seen[column] += 1
            if detection.landmarks is not None:
                true = ndc_to_pixels(truth, SIZE, SIZE).numpy()
                unit = CROP / (CROP_SCALE * np.ptp(true, axis=0).max())
                errors[column].append(unit * (detection.landmarks - true))
    for column in sorted(seen):
        print_column(column, np.array(errors[column]), seen[column])


def print_column(column: int, errors: np.ndarray, seen: int) -> None:
    """The table's rows of one column of yaws; errors [N, 68, 2] px."""
    limits = ["0", *(f"{limit:g}" for limit in YAWS), "90"]
    print(f"yaw {limits[column]} to {limits[column + 1]} degrees: {len(errors)} of {seen} found")
    if not len(errors):
        return
    upper, lower = np.array(PAIRS).T
    openings = errors[:, upper] - errors[:, lower]
    for parts, values in ((REGIONS, errors), (OPENINGS, openings)):
        for name, members in parts.items():
            print(f"  {name:6} {np.sqrt((values[:, list(members)] ** 2).mean()):.2f}")


if __name__ == "__main__":
    main()
