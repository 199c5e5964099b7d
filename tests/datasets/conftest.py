"""A tiny archive in Multi-PIE's layout: real PNGs, no faces."""

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfnet.datasets import multipie

WriteArchive = Callable[..., Path]


def png(seed: int, width: int = multipie.WIDTH, height: int = multipie.HEIGHT) -> bytes:
    """A PNG of a few random flat patches: quick to write, and no two seeds alike."""
    patches = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    image = cv2.resize(patches, (width, height), interpolation=cv2.INTER_NEAREST)
    return cv2.imencode(".png", image)[1].tobytes()


@pytest.fixture
def write_archive(tmp_path) -> WriteArchive:
    """write_archive(subjects, recordings, cameras, illuminations) -> root."""

    def write(
        subjects: Iterable[int] = (1, 2),
        recordings: Iterable[tuple[int, int]] = ((1, 1),),
        cameras: Iterable[str] = ("05_1", "19_0", "08_0"),
        illuminations: Iterable[int] = (0,),
    ) -> Path:
        root, seed = tmp_path / "multipie", 0
        for subject in subjects:
            for session, recording in recordings:
                for camera in cameras:
                    for illumination in illuminations:
                        path = root / multipie.image_path(f"{subject:03d}", session, recording, camera, illumination)
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(png(seed := seed + 1))
        return root

    return write
