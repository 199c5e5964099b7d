"""Fixtures that several rooms share."""

import os
from pathlib import Path

import pytest

HANGS = 3000.0
"""Seconds after which a part of a test is taken to hang. Not a measure of speed: a quiet machine takes less than 30."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference files that lies beside some checkouts; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("MFNET_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"reference files are absent: {folder} (set MFNET_SHARED)")
    return folder
