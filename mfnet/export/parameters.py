"""A fitted head as numbers: coefficients, cameras and what they mean, as JSON for other programs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from mfnet.io.files import atomic_path

if TYPE_CHECKING:
    from mfnet.api import Face
    from mfnet.fitting.held import Placement

FORMAT = "mfnet parameters 1"
CONVENTIONS = {
    "head_space": "metres; x to the subject's left, y up, z out of the face; the mesh files are in it",
    "coefficients": "shape and expression in standard deviations of the head model; rotations axis-angle, radians",
    "pose": "posed = R (vertex - root) + root, with R of global_pose; jaw_pose is in the mesh already",
    "camera": "[s, tx, ty]: ndc = s (x + tx, y + ty) / (1 - inverse_distance (z - reference_depth)) of a posed vertex",
    "crop": "pixel = centre + side / 2 * (ndc_x, -ndc_y) of the photograph turned upright as its EXIF says; pixel "
    "centres at +0.5, origin top left",
    "placement": "world = scale R (vertex - root) + shift in the frame and unit of the cameras given; R row by row; a "
    "photograph was then turned to the face, and its numbers are of the turned one",
    "yaw": "degrees; > 0 shows the subject's right cheek",
    "residual_px": "mean distance of the landmarks from brows to mouth, px of a 128 px crop",
}


def write_parameters(path: str | Path, face: "Face") -> None:
    """Write `parameters` of a face as JSON, atomically."""
    with atomic_path(path) as beside:
        beside.write_text(json.dumps(parameters(face), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def parameters(face: "Face") -> dict[str, Any]:
    """Everything that a face was fitted to and what came out, in plain values; `CONVENTIONS` says what they mean."""
    person = face.person
    return {
        "format": FORMAT,
        "conventions": CONVENTIONS,
        "head": {"content_hash": face.flame.content_hash, **face.flame.provenance.declaration()},
        "landmarks": face.detector,
        "start": face.start,
        "flow": face.flow,
        "points": face.points,
        "own_expressions": face.own_expressions,
        "verdict": face.verdict,
        "reasons": face.reasons,
        "shape": _numbers(person.shape[0]),
        "expression": _numbers(person.expression[0]),
        "jaw_pose": _numbers(person.jaw_pose[0]),
        "root": _numbers(face.root),
        "placement": _placement(face.placement),
        "views": [_view(face, view) for view in range(len(face.photographs))],
    }


def _view(face: "Face", view: int) -> dict[str, Any]:
    photograph, views, fit = face.photographs[view], face.prediction.views, face.views[view]
    box = photograph.box(face.crop_scale)
    height, width = photograph.image.shape[:2]
    return {
        "photograph": photograph.path.name,
        "width": width,
        "height": height,
        "view": fit.name,
        "yaw": round(fit.yaw, 2),
        "residual_px": round(fit.residual_px, 3),
        "residual_mm": round(fit.residual_mm, 3),
        "disagreeing_landmarks": fit.disagreeing,
        "landmark_score": round(photograph.score, 4),
        "expression": _numbers(face.prediction.per_view().person.expression[0, view]),
        "view_jaw_pose": _numbers(face.prediction.per_view().person.jaw_pose[0, view]),
        "global_pose": _numbers(views.global_pose[0, view]),
        "camera": _numbers(views.camera[0, view]),
        "inverse_distance": float(views.inverse_distance[0, view]),
        "reference_depth": float(face.reference_depths[view]),
        "crop": {"centre": [box.centre_x, box.centre_y], "side": box.side},
        "landmarks": np.round(photograph.landmarks, 2).tolist(),
    }


def _placement(placement: "Placement | None") -> dict[str, Any] | None:
    """Where the head stands in the world of given cameras."""
    if placement is None:
        return None
    rotation, shift = _numbers(placement.rotation.ravel()), _numbers(placement.shift)
    return {"scale": placement.scale, "rotation": rotation, "shift": shift}


def _numbers(values: Tensor | np.ndarray) -> list[float]:
    return [round(float(value), 7) for value in values]
