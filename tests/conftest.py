"""Fixtures that several rooms share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference files that lies beside some checkouts; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("MFNET_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"reference files are absent: {folder} (set MFNET_SHARED)")
    return folder
