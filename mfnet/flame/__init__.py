"""The head model: reading FLAME's files safely, decoding coefficients into vertices, joints and landmarks.

Names are imported when first used, so that the command line starts without torch.
"""

import importlib
from typing import Any

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
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
