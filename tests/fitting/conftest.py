"""The open head of the losses' tests and the arrays of the scorer's."""

from tests.losses.conftest import flame, scene  # noqa: F401
from tests.scoring.conftest import head  # noqa: F401
