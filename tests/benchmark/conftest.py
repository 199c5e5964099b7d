"""The ellipsoid and the small benchmark of the scorer's tests."""

from tests.scoring.conftest import benchmark_root, head, scene  # noqa: F401
