"""Small archives and heads."""

from tests.datasets.conftest import write_archive  # noqa: F401
