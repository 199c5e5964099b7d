"""What a person costs from three photographs of 12 megapixels: seconds of each stage, and the most memory.

    python -m benchmarks.reconstruct --photographs PHOTO PHOTO PHOTO

Times are shown twice: of ``mfnet reconstruct`` as a user types it, in a process of its own, and of the library call
once everything is loaded. Without photographs scikit-image's astronaut stands in, three times, as one picture of each
side: what is found is no one's head, but costs the same. Every photograph is brought to 12 megapixels first.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

PIXELS = 12e6
STAGES = {
    "mfnet.api.read_photographs": "read photographs, find faces",
    "mfnet.api.fit_person": "fit",
    "mfnet.api.photographic_texture": "texture",
}
"""What is timed inside of the library call."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, nargs="+", help="of one person (default: the astronaut)")
    parser.add_argument("--repeats", type=int, default=3, help="library calls; the median counts")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = enlarged(args.photographs or [astronaut()] * 3, Path(folder))
        command_line(paths, Path(folder))
        library(paths, Path(folder), args.repeats)


def astronaut() -> Path:
    """scikit-image's photograph of Eileen Collins (NASA, public domain)."""
    import skimage

    return Path(skimage.__file__).with_name("data") / "astronaut.png"


def enlarged(sources: list[Path], folder: Path) -> list[Path]:
    """JPEG files of `PIXELS` pixels each."""
    paths = []
    for number, source in enumerate(sources):
        with Image.open(source) as photograph:
            scale = (PIXELS / (photograph.width * photograph.height)) ** 0.5
            size = (round(scale * photograph.width), round(scale * photograph.height))
            path = folder / f"{number}.jpg"
            photograph.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(path, quality=92)
            paths.append(path)
    return paths


def command_line(paths: list[Path], folder: Path) -> None:
    """Time and memory of a process of its own; the first run, which compiles, does not count."""
    code = "import sys; from mfnet.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "reconstruct", *map(str, paths), "-o", str(folder / "head.glb")]
    for counts in (False, True):
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            sys.exit(done.stderr)
        if counts:
            processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"command line: {seconds:.1f} s, {processor:.1f} s of processor, {after.ru_maxrss / 1e6:.2f} GB at most"
            )


def library(paths: list[Path], folder: Path, repeats: int) -> None:
    """Medians of library calls in this process, stage by stage."""
    start = time.perf_counter()
    import mfnet

    reconstructor = mfnet.load()
    face = reconstructor.reconstruct(*paths)
    print(f"import, load, first call: {time.perf_counter() - start:.1f} s")
    spent: dict[str, list[float]] = {name: [] for name in (*STAGES.values(), "whole call")}
    with timed(spent):
        for _ in range(repeats):
            start = time.perf_counter()
            face = reconstructor.reconstruct(*paths)
            spent["whole call"].append(time.perf_counter() - start)
    for name, seconds in spent.items():
        print(f"  {name}: {np.median(seconds):.2f} s")
    for name, save in (("head.glb", face.save), ("overlay.png", face.save_overlay)):
        start = time.perf_counter()
        save(folder / name)
        print(f"  write {name}: {time.perf_counter() - start:.2f} s")


@contextmanager
def timed(spent: dict[str, list[float]]) -> Iterator[None]:
    """The stages put down their seconds while this is open."""
    patches = [mock.patch(place, _watched(place, spent[name])) for place, name in STAGES.items()]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def _watched(place: str, seconds: list[float]) -> Callable[..., Any]:
    """The function at `place`, which notes how long it takes."""
    import importlib

    module, name = place.rsplit(".", 1)
    function = getattr(importlib.import_module(module), name)

    def watched(*arguments: Any, **settings: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **settings)
        finally:
            seconds.append(time.perf_counter() - start)

    return watched


if __name__ == "__main__":
    main()
