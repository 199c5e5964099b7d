"""Fixtures that several rooms share."""

import os
from pathlib import Path

import numpy as np
import pytest

from mfnet import assets

HANGS = 3000.0
"""Seconds after which a part of a test is taken to hang. Not a measure of speed: a quiet machine takes less than 30."""


LONGEST = ("pipeline/test_tiny.py", "pipeline/test_flows.py", "scoring/test_second_implementation.py")
"""Files whose slow tests take minutes: they come first, so that no core waits for another at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """LONGEST first."""
    items.sort(key=lambda item: next((place for place, file in enumerate(LONGEST) if item.path.match(file)), 99))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference files that lies beside some checkouts; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("MFNET_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"reference files are absent: {folder} (set MFNET_SHARED)")
    return folder


@pytest.fixture(scope="session")
def face_assets() -> None:
    """Tests that need MediaPipe's weights skip where they have not been fetched."""
    missing = [each.name for each in assets.ASSETS if each.free and not each.by_name and assets.state(each) != "here"]
    if missing:
        pytest.skip(f"not here: {', '.join(missing)}; run `mfnet assets get`")


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """A photograph of a real person: Eileen Collins, by NASA, in the public domain. [512, 512, 3] uint8."""
    data = pytest.importorskip("skimage.data", reason="the photograph comes with scikit-image")
    return data.astronaut()
