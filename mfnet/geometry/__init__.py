"""Every conversion of coordinates in the project: rotations, cameras, crops, normals (axes: docs/conventions.md)."""

from mfnet.geometry.cameras import (
    PinholeCamera,
    clip_from_orthographic,
    clip_from_perspective,
    ndc_to_pixels,
    perspective_divisor,
    pixels_to_ndc,
    project_orthographic,
    project_perspective,
    reference_depth,
)
from mfnet.geometry.crops import (
    CropBox,
    FaceCrop,
    crop_box,
    crop_face,
    crop_image,
    crop_matrix,
    cut_face,
    transform_points,
)
from mfnet.geometry.mesh import triangle_map, uv_vertices, vertex_normals
from mfnet.geometry.rotations import (
    axis_angle_to_matrix,
    euler_to_matrix,
    matrix_to_axis_angle,
    matrix_to_euler,
    yaw,
)

__all__ = [
    "CropBox",
    "FaceCrop",
    "PinholeCamera",
    "axis_angle_to_matrix",
    "clip_from_orthographic",
    "clip_from_perspective",
    "crop_box",
    "crop_face",
    "crop_image",
    "crop_matrix",
    "cut_face",
    "euler_to_matrix",
    "matrix_to_axis_angle",
    "matrix_to_euler",
    "ndc_to_pixels",
    "perspective_divisor",
    "pixels_to_ndc",
    "project_orthographic",
    "project_perspective",
    "reference_depth",
    "transform_points",
    "triangle_map",
    "uv_vertices",
    "vertex_normals",
    "yaw",
]
