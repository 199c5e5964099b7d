"""The head model: reading FLAME's files safely, decoding coefficients into vertices, joints and landmarks.

Names are imported when first used, so that the command line starts without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfnet.flame.head import HeadArrays
    from mfnet.flame.model import Flame, FlameOutput, load_flame, load_project_head
    from mfnet.flame.readers import read_head, write_head
    from mfnet.flame.texture_space import TextureSpace, load_texture_space

_HOMES = {
    "Flame": "mfnet.flame.model",
    "FlameOutput": "mfnet.flame.model",
    "load_flame": "mfnet.flame.model",
    "load_project_head": "mfnet.flame.model",
    "HeadArrays": "mfnet.flame.head",
    "read_head": "mfnet.flame.readers",
    "write_head": "mfnet.flame.readers",
    "TextureSpace": "mfnet.flame.texture_space",
    "load_texture_space": "mfnet.flame.texture_space",
}
__all__ = [
    "Flame",
    "FlameOutput",
    "HeadArrays",
    "TextureSpace",
    "load_flame",
    "load_project_head",
    "load_texture_space",
    "read_head",
    "write_head",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
