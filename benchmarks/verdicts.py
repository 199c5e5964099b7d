"""What residuals and shapes good and spoilt fits come to: the figures behind `mfnet.fitting.quality`'s thresholds.

    python -m benchmarks.verdicts --people 20 [--photographs FOLDER ...]

Random people are drawn from three sides (benchmarks.landmark_noise), their landmarks found by the detector, and heads
fitted from the mean by the 68 landmarks and by the 478 points: as they are, with landmarks that are off, squeezed, and
with one photograph of another person. Folders hold photographs of one real person each, and are spoilt the same way.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import torch

import mfnet
from benchmarks.landmark_noise import SCALE, SIZE, SKINS
from mfnet.api import Reconstructor
from mfnet.errors import InputError
from mfnet.fitting import person as fitting
from mfnet.fitting.person import FitChoices, Measured, Points, fit_person
from mfnet.io.images import encode_png
from mfnet.photographs import crops_of, find_photographs, meshes_of, read_photographs
from mfnet.profiles import load_profile
from mfnet.synthetic.sampler import CropFormat, Sampler
from mfnet.synthetic.subjects import texture_pool

PIXEL = 2 / 128
"""ndc of one pixel of a 128 px crop."""
POINTS: tuple[Points, ...] = ("68", "auto")
"""``auto``: the 478 points of views within 55 degrees of the front."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20, help="random people that are drawn")
    parser.add_argument("--photographs", type=Path, nargs="*", default=[], help="folders, each of one real person")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    reconstructor = mfnet.load()
    found = {"real": [each for path in args.photographs if (each := measured(reconstructor, path)) is not None]}
    with tempfile.TemporaryDirectory() as folder:
        drawn = (measured(reconstructor, place) for place in draw(reconstructor, args.people, Path(folder)))
        found["drawn"] = [each for each in drawn if each is not None]
    for name, people in found.items():
        for case, items in cases(people).items():
            for points in POINTS:
                print_row(f"{name}, {case}", points, [judged(reconstructor, each, points) for each in items])


def draw(reconstructor: Reconstructor, people: int, folder: Path) -> Iterator[Path]:
    """A folder of three photographs of each person."""
    skins = texture_pool(reconstructor.flame, SKINS, 512, seed=5)
    sampler = Sampler(reconstructor.flame, skins, CropFormat(SIZE, SCALE, 1), load_profile("embedded").sampler)
    rng = np.random.default_rng(12)
    for number in range(people):
        place = folder / str(number)
        place.mkdir()
        for view, image in enumerate(sampler.sample(rng, 1, 3).images[0]):
            (place / f"{view}.png").write_bytes(encode_png(image.permute(1, 2, 0).contiguous().numpy()))
        yield place


def measured(reconstructor: Reconstructor, folder: Path) -> Measured | None:
    """What is known of the photographs in a folder; None where one shows no face."""
    try:
        photographs = read_photographs(find_photographs([folder]), reconstructor.detector, reconstructor.crops, None)
    except InputError as error:
        print(error)
        return None
    return Measured(*crops_of(photographs), reconstructor.detector.name, meshes_of(photographs))


def cases(people: list[Measured]) -> dict[str, list[Measured]]:
    """Good and spoilt, by what was done."""
    generator = torch.Generator().manual_seed(0)
    spoilt = {"as they are": people}
    for pixels in (1, 2, 3, 6):
        spoilt[f"off by {pixels} px a coordinate"] = [shaken(each, pixels * PIXEL, generator) for each in people]
    for share in (0.8, 0.6):
        spoilt[f"squeezed to {share}"] = [stretched(each, share) for each in people]
    pairs = zip(people, people[1:] + people[:1], strict=True)
    spoilt["one photograph of another person"] = [
        swapped(each, other) for each, other in pairs if len(each.images) == len(other.images) > 1
    ]
    return spoilt


def shaken(person: Measured, sigma: float, generator: torch.Generator) -> Measured:
    """With noise on every point."""
    points, mesh = person.landmarks, person.mesh
    assert mesh is not None
    return replace(
        person,
        landmarks=points + sigma * torch.randn(points.shape, generator=generator),
        mesh=mesh + sigma * torch.randn(mesh.shape, generator=generator),
    )


def stretched(person: Measured, share: float) -> Measured:
    """As photographs whose width was changed."""
    factor = torch.tensor([share, 1.0])
    assert person.mesh is not None
    return replace(person, landmarks=person.landmarks * factor, mesh=person.mesh * factor)


def swapped(person: Measured, other: Measured) -> Measured:
    """With the last photograph of someone else."""
    assert person.mesh is not None and other.mesh is not None
    images, landmarks, mesh = (
        torch.cat([mine[:-1], theirs[-1:]])
        for mine, theirs in (
            (person.images, other.images),
            (person.landmarks, other.landmarks),
            (person.mesh, other.mesh),
        )
    )
    return replace(person, images=images, landmarks=landmarks, mesh=mesh)


def judged(reconstructor: Reconstructor, person: Measured, points: Points) -> tuple[float, float, str]:
    """Residual of the worst view, px of 128; oddness of the shape; verdict."""
    odd: list[float] = []

    def watched(*arguments: torch.Tensor) -> float:
        odd.append(oddness(*arguments))
        return odd[-1]

    oddness = fitting.oddness
    choices = FitChoices(start="mean", points=points)
    with mock.patch.object(fitting, "oddness", watched):
        fit = fit_person(reconstructor.flame, person, None, None, reconstructor.refinement, choices)
    return max(view.residual_px for view in fit.views), odd[-1], fit.verdict


def print_row(name: str, points: str, results: list[tuple[float, float, str]]) -> None:
    """Least, median and most of the residual and the shape; how many got which verdict."""
    if not results:
        return
    residual, odd, verdicts = zip(*results, strict=True)
    counts: dict[str, int] = defaultdict(int)
    for verdict in verdicts:
        counts[verdict] += 1
    spread = [" ".join(f"{value:.2f}" for value in np.quantile(values, [0, 0.5, 1])) for values in (residual, odd)]
    said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    print(f"{name:45} {points:>4}: residual {spread[0]} px, shape {spread[1]}; {said}", flush=True)


if __name__ == "__main__":
    main()
