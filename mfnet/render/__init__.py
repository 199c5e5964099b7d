"""Rendering: rasterizer, shading, texture, cross-view images and covisibility.

`mfnet.render.antialias` is imported by its own name: no stage draws with it, so its edits re-run none (.dvcignore).
"""

from mfnet.render.covisible import (
    comparable_faces,
    covisible_by_geometry,
    covisible_by_landmarks,
    landmark_bounds,
)
from mfnet.render.cross_view import CrossView, render_cross_view, render_shaded, render_textured
from mfnet.render.rasterizer import Raster, interpolate, rasterize
from mfnet.render.shading import sh_basis, shade
from mfnet.render.texture import (
    UVLayout,
    face_texture,
    faces_of,
    facial_mask,
    fill_holes,
    fuse_views,
    inside_outline,
    region_of,
    sample_texture,
    unwrap,
    uv_layout,
)
from mfnet.render.view import ProjectedMesh, orthographic_view, perspective_view

__all__ = [
    "CrossView",
    "ProjectedMesh",
    "Raster",
    "UVLayout",
    "comparable_faces",
    "covisible_by_geometry",
    "covisible_by_landmarks",
    "face_texture",
    "faces_of",
    "facial_mask",
    "fill_holes",
    "fuse_views",
    "inside_outline",
    "interpolate",
    "landmark_bounds",
    "orthographic_view",
    "perspective_view",
    "rasterize",
    "region_of",
    "render_cross_view",
    "render_shaded",
    "render_textured",
    "sample_texture",
    "sh_basis",
    "shade",
    "unwrap",
    "uv_layout",
]
