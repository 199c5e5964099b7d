"""The procedural head: a human head in FLAME's file format made from closed-form functions and a seed."""

from mfnet.flame.procedural.head import build_head, head_arrays

__all__ = ["build_head", "head_arrays"]
