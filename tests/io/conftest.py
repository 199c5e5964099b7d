"""The tiny head of the head model's tests."""

from tests.flame.conftest import head  # noqa: F401
