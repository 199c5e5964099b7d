"""nvdiffrast behind the project's contract (extra ``gpu``; its licence is non-commercial). CUDA tensors only.

nvdiffrast's first row is the lowest; ours is the highest. The turn is made in one place, `_upside_down`: it draws the
scene mirrored about the horizontal, so that rows come out in our order and no image needs to be turned.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from mfnet.render.rasterizer import Raster  # it imports this module


@contextmanager
def _built_modules_registered() -> Iterator[None]:
    """Make modules that torch builds at first use importable by name, which nvdiffrast relies on and torch 2.15
    ended."""
    from torch.utils import cpp_extension

    load = cpp_extension.load

    def load_and_register(name: str, *arguments: Any, **options: Any) -> ModuleType | str:
        module = load(name, *arguments, **options)
        if isinstance(module, ModuleType):  # a path where a program was built, not a module
            sys.modules.setdefault(name, module)
        return module

    cpp_extension.load = load_and_register
    try:
        yield
    finally:
        cpp_extension.load = load


def _library() -> Any:
    try:
        import nvdiffrast.torch as library  # pyright: ignore[reportMissingImports]  # extra `gpu`
    except ImportError as error:
        raise RuntimeError(
            f"CUDA tensors need nvdiffrast: install mfnet[gpu] or move them to the CPU ({error})"
        ) from None
    return library


@cache
def _context(device: torch.device) -> Any:
    library = _library()
    with _built_modules_registered():
        return library.RasterizeCudaContext(device=device)


def _upside_down(clip: Tensor) -> Tensor:
    return clip.float() * clip.new_tensor([1.0, -1.0, 1.0, 1.0], dtype=torch.float32)


def rasterize(clip: Tensor, faces: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """As `mfnet.render.rasterize`: face_id, barycentrics, depth. float64 is computed in float32."""
    if not clip.is_cuda:
        raise ValueError(f"backend 'nvdiffrast' takes CUDA tensors, clip is on {clip.device}")
    context, positions = _context(clip.device), _upside_down(clip).contiguous()
    drawn, _ = _library().rasterize(context, positions, faces.int().contiguous(), [height, width], grad_db=False)
    u, v, depth, face_id = drawn.unbind(-1)
    hit = (face_id > 0).to(drawn.dtype)
    barycentrics = torch.stack([u, v, (1 - u - v) * hit], -1)
    return face_id.to(torch.int32), barycentrics.to(clip.dtype), depth.detach().to(clip.dtype)


def _as_drawn(raster: "Raster") -> Tensor:
    """A Raster in nvdiffrast's own form [B, H, W, 4]."""
    u, v, _ = raster.barycentrics.float().unbind(-1)
    return torch.stack([u, v, raster.depth.float(), raster.face_id.float()], -1).contiguous()


def interpolate(attributes: Tensor, raster: "Raster", faces: Tensor) -> Tensor:
    """As `mfnet.render.interpolate` for attributes [B or 1, V, C]."""
    values = attributes.float().contiguous()
    out, _ = _library().interpolate(values, _as_drawn(raster), faces.int().contiguous())
    return out.to(attributes.dtype)


def antialias(image: Tensor, raster: "Raster", clip: Tensor, faces: Tensor) -> Tensor:
    """As `mfnet.render.antialias`."""
    positions = _upside_down(clip).contiguous()
    out = _library().antialias(image.float().contiguous(), _as_drawn(raster), positions, faces.int().contiguous())
    return out.to(image.dtype)
