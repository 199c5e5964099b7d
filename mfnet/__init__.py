"""MFNet: three photographs of a person in, one textured FLAME head out.

    import mfnet
    model = mfnet.load()
    face = model.reconstruct("front.png", "left.png", "right.png")
    face.save("head.glb")

Names are imported when first used, so that ``import mfnet`` and the command line start without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfnet.api import Face, Reconstructor, load
    from mfnet.errors import InputError
    from mfnet.flame.model import Flame, load_flame
    from mfnet.model.mfnet import MFNet, load_mfnet
    from mfnet.render.rasterizer import interpolate, rasterize

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
__all__ = [
    "Face",
    "Flame",
    "InputError",
    "MFNet",
    "Reconstructor",
    "__version__",
    "interpolate",
    "load",
    "load_flame",
    "load_mfnet",
    "rasterize",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mfnet")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
