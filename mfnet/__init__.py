"""MFNet: three photographs of a person in, one textured FLAME head out.

    import mfnet
    model = mfnet.load()
    face = model.reconstruct("front.png", "left.png", "right.png")
    face.save("head.glb")

Names are imported when first used, so that ``import mfnet`` and the command line start without torch.
"""

import importlib
from typing import Any

_HOMES = {
    "load": "mfnet.api",
    "Reconstructor": "mfnet.api",
    "Face": "mfnet.api",
    "InputError": "mfnet.errors",
    "Flame": "mfnet.flame.model",
    "load_flame": "mfnet.flame.model",
    "MFNet": "mfnet.model.mfnet",
    "load_mfnet": "mfnet.model.mfnet",
    "rasterize": "mfnet.render.rasterizer",
    "interpolate": "mfnet.render.rasterizer",
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mfnet")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
