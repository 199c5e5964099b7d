"""The fitted cameras as ``transforms.json``, which NeRF and Gaussian splatting tools read (instant-ngp, nerfstudio)."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfnet.errors import InputError
from mfnet.geometry import axis_angle_to_matrix
from mfnet.io.files import write_json
from mfnet.io.images import write_png
from mfnet.texturing.texture import LARGEST, WIDE

if TYPE_CHECKING:
    from mfnet.api import Face

LEAST_INVERSE_DISTANCE = 1e-3
"""1/m, below which a camera is taken for an orthographic one: no photograph of a face is taken from a kilometre."""


def write_transforms(path: str | Path, face: "Face") -> None:
    """Write `transforms` of a face as JSON, atomically, and the pictures that it names into a folder of its name."""
    path = Path(path)
    content, pictures = transforms(face, path.stem), path.with_suffix("")
    for photograph, frame in zip(face.photographs, content["frames"], strict=True):
        write_png(photograph.wide(WIDE, frame["w"]), pictures / Path(frame["file_path"]).name, fast=True)
    write_json(content, path)


def transforms(face: "Face", folder: str = "transforms") -> dict[str, Any]:
    """The pinhole cameras of a fit in head space: metres, y up, the face along +z; so `Face.vertices` are in them.

    The pictures, in `folder`, are squares of `WIDE` boxes around the faces, upright and at the photographs' own
    resolution, and each camera looks at the middle of its own: tools that know of no other principal point take them
    too. Axes of each camera are OpenGL's (x right, y up, looking along -z), and ``transform_matrix`` goes from camera
    to head. Intrinsics are in pixels whose centres lie at +0.5. Raises InputError for a head whose cameras are
    orthographic, as those of the network alone are.
    """
    if not has_pinholes(face):
        raise InputError("the cameras are orthographic and no pinholes; fit the head (without --fast)")
    frames = [_frame(face, view, folder) for view in range(len(face.photographs))]
    return {"camera_model": "OPENCV", "aabb_scale": 1, "frames": frames}


def has_pinholes(face: "Face") -> bool:
    """Whether every view has a camera at a finite distance."""
    return bool((face.inverse_distances > LEAST_INVERSE_DISTANCE).all())


def _frame(face: "Face", view: int, folder: str) -> dict[str, Any]:
    """One photograph's camera.

    Of a posed vertex the fit says ndc = s (x + tx, y + ty) / (1 - (z - z0) / d) in its crop. That is a pinhole at (-tx,
    -ty, z0 + d) with focal length s d in ndc, which looks at the middle of the crop.
    """
    photograph, views = face.photographs[view], face.prediction.views
    side = min(LARGEST, max(1, round(photograph.box(WIDE).side)))
    scale, tx, ty = (float(value) for value in face.cameras[view])
    distance = 1 / float(face.inverse_distances[view])
    focal = scale * distance * face.crop_scale / WIDE * side / 2
    turn = axis_angle_to_matrix(views.global_pose[0, view][None])[0].double().numpy()
    centre = np.array([-tx, -ty, float(face.reference_depths[view]) + distance])
    matrix = np.eye(4)
    matrix[:3, :3] = turn.T
    matrix[:3, 3] = turn.T @ (centre - face.root) + face.root
    name = re.sub(r"[^\w.-]", "_", photograph.path.stem)
    return {
        "file_path": f"{folder}/{view}_{name}.png",
        "w": side,
        "h": side,
        "fl_x": focal,
        "fl_y": focal,
        "cx": side / 2,
        "cy": side / 2,
        "transform_matrix": matrix.tolist(),
    }
