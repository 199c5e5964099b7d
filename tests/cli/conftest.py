"""The tiny head and the small benchmark of the rooms whose commands are tested here."""

from tests.flame.conftest import fields, head  # noqa: F401
from tests.scoring.conftest import benchmark_root, scene  # noqa: F401
