"""The fitted cameras as ``transforms.json``, which NeRF and Gaussian splatting tools read (instant-ngp, nerfstudio)."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfnet.errors import InputError
from mfnet.geometry import axis_angle_to_matrix
from mfnet.io.files import write_json
from mfnet.io.images import is_stored_upright, write_png

if TYPE_CHECKING:
    from mfnet.api import Face

LEAST_INVERSE_DISTANCE = 1e-3
"""1/m, below which a camera is taken for an orthographic one: no photograph of a face is taken from a kilometre."""


UPRIGHT = "upright"
"""Folder of copies of photographs that their EXIF data turns: the tools take pixels as they are stored."""


def write_transforms(path: str | Path, face: "Face") -> None:
    """Write `transforms` of a face as JSON, atomically.

    Photographs are named relative to the file's folder. Those that lie turned in their files are copied upright, as
    PNG, into `UPRIGHT` beside it.
    """
    path = Path(path)
    content = transforms(face)
    for number, (photograph, frame) in enumerate(zip(face.photographs, content["frames"], strict=True)):
        source = photograph.path
        if not is_stored_upright(source):
            source = path.parent / UPRIGHT / f"{number}_{source.stem}.png"
            write_png(photograph.image, source, fast=True)
        frame["file_path"] = Path(os.path.relpath(source, path.parent)).as_posix()
    write_json(content, path)


def transforms(face: "Face") -> dict[str, Any]:
    """The pinhole cameras of a fit in head space: metres, y up, the face along +z; so `Face.vertices` are in them.

    Axes of each camera are OpenGL's (x right, y up, looking along -z), and ``transform_matrix`` goes from camera to
    head. Intrinsics are each frame's own, in pixels whose centres lie at +0.5, of the photograph turned upright as its
    EXIF says. Raises InputError for a head whose cameras are orthographic, as those of the network alone are.
    """
    if not has_pinholes(face):
        raise InputError("the cameras are orthographic and no pinholes; fit the head (without --fast)")
    return {
        "camera_model": "OPENCV",
        "aabb_scale": 1,
        "frames": [_frame(face, view) for view in range(len(face.photographs))],
    }


def has_pinholes(face: "Face") -> bool:
    """Whether every view has a camera at a finite distance."""
    return bool((face.inverse_distances > LEAST_INVERSE_DISTANCE).all())


def _frame(face: "Face", view: int) -> dict[str, Any]:
    """One photograph's camera.

    Of a posed vertex the fit says ndc = s (x + tx, y + ty) / (1 - (z - z0) / d). That is a pinhole at (-tx, -ty, z0 +
    d) with focal length s d in ndc and its axis through the centre of the crop.
    """
    photograph, views = face.photographs[view], face.prediction.views
    box, (height, width) = photograph.box(face.crop_scale), photograph.image.shape[:2]
    scale, tx, ty = (float(value) for value in face.cameras[view])
    distance = 1 / float(face.inverse_distances[view])
    focal = scale * distance * box.side / 2
    turn = axis_angle_to_matrix(views.global_pose[0, view][None])[0].double().numpy()
    centre = np.array([-tx, -ty, float(face.reference_depths[view]) + distance])
    matrix = np.eye(4)
    matrix[:3, :3] = turn.T
    matrix[:3, 3] = turn.T @ (centre - face.root) + face.root
    return {
        "file_path": photograph.path.as_posix(),
        "w": width,
        "h": height,
        "fl_x": focal,
        "fl_y": focal,
        "cx": float(box.centre_x),
        "cy": float(box.centre_y),
        "transform_matrix": matrix.tolist(),
    }
