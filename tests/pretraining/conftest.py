"""Fixtures of the training's tests."""

from tests.training.conftest import data, flame, inputs, params  # noqa: F401
