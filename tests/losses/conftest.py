"""Fixtures over tests/losses/scenes.py."""

import pytest

from tests.heads import open_flame
from tests.losses.scenes import rendered_scene


@pytest.fixture(scope="session")
def flame():
    return open_flame()


@pytest.fixture(scope="session")
def scene():
    return rendered_scene()
