"""Rendering: rasterizer, shading, texture, cross-view images and covisibility."""

from mfnet.render.rasterizer import Raster, interpolate, rasterize

__all__ = ["Raster", "interpolate", "rasterize"]
