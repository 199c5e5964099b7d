"""The head models that tests share, each made once per run."""

from functools import cache

from mfnet.flame import Flame
from mfnet.flame.head import HeadArrays
from mfnet.flame.makehuman import makehuman_head


@cache
def open_head() -> HeadArrays:
    """The open head that ships."""
    return makehuman_head()


@cache
def open_flame() -> Flame:
    """The open head with 100 identity and 50 expression coefficients."""
    return Flame(open_head(), 100, 50)
