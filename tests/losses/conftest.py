"""Fixtures over tests/losses/scenes.py."""

import pytest

from tests.losses.scenes import procedural_flame, rendered_scene


@pytest.fixture(scope="session")
def flame():
    return procedural_flame()


@pytest.fixture(scope="session")
def scene():
    return rendered_scene()
