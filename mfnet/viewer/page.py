"""A fitted head as a web page in one file: the head to turn, its expressions, its uncertainty and its photographs."""

import base64
import re
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from mfnet import __version__
from mfnet.export.gltf import head_glb
from mfnet.export.overlays import MOST, photograph_tiles
from mfnet.export.pictures import heat_colours
from mfnet.export.rig import CORRECTIVE
from mfnet.flame import Flame
from mfnet.geometry import axis_angle_to_matrix
from mfnet.io.files import atomic_path
from mfnet.io.images import to_uint8
from mfnet.model.projection import decode
from mfnet.render import interpolate
from mfnet.render.texture import fill_holes, uv_layout

if TYPE_CHECKING:
    from mfnet.api import Face

PAGE, VIEWER = (Path(__file__).with_name(name) for name in ("page.html", "model-viewer.min.js"))
LIMIT_MM = 6.0
"""Standard deviation at the end of the colours."""
UNCERTAINTY_SIZE = 256
"""Side of the texture of those colours: they change slowly."""
TILE = 420
"""Side of the photographs' tiles, pixels."""
JPEG_QUALITY = 88


def write_page(path: str | Path, face: "Face") -> None:
    """Write `page` of a face, atomically."""
    with atomic_path(path) as beside:
        beside.write_text(page(face), encoding="utf-8")


def page(face: "Face") -> str:
    """HTML that needs no other file and no network: what it shows is in it, the viewer's code too."""
    looks: dict[str, np.ndarray | None] = {"shape": None}
    if face.vertex_sigma_mm is not None:
        looks["uncertainty"] = uncertainty_texture(face.flame, face.vertex_sigma_mm)
    rig = face.rig()
    glb = head_glb(rig.vertices(), face.flame, face.texture, rig, looks, film=True)
    count = len(face.photographs)
    values = {
        "title": f"A head from {count} photograph{'s' * (count > 1)}",
        "verdict": face.verdict,
        "reasons": _list(face.reasons),
        "summary": escape(_summary(face)),
        "surfaces": _surfaces(["photographs", *looks]),
        "colours": _gradient(),
        "limit": f"{LIMIT_MM:g}",
        "units": _units(rig.names),
        "photographs": _photographs(face),
        "likeness": "" if face.vertex_sigma_mm is None else "Uncertainty shows where that is.",
        "head": escape(str(face.flame.provenance)),
        "landmarks": escape(face.detector),
        "version": __version__,
        "glb": base64.b64encode(glb).decode(),
        "viewer": VIEWER.read_text(encoding="utf-8").replace("<!--", r"\x3C!--"),  # which would open a comment in HTML
    }
    return Template(PAGE.read_text(encoding="utf-8")).substitute(values)


@torch.no_grad()
def uncertainty_texture(flame: Flame, sigma_mm: np.ndarray) -> np.ndarray:
    """[S, S, 3] uint8 in the head's UV layout: `heat_colours` of each vertex's standard deviation [V], mm."""
    layout = uv_layout(flame.faces, *flame.uv_map, UNCERTAINTY_SIZE)
    colours = interpolate(heat_colours(sigma_mm, LIMIT_MM), layout.raster, layout.faces).permute(0, 3, 1, 2)
    return to_uint8(fill_holes(colours, layout.raster.face_id > 0)[0]).permute(1, 2, 0).numpy()


def _summary(face: "Face") -> str:
    evidence = "landmarks and optical flow" if face.flow else "landmarks"
    if face.vertex_sigma_mm is None:
        return "The network's answer, not fitted."
    sigma = face.vertex_sigma_mm[face.flame.masks["face"].numpy()].mean()
    return f"Fitted to {evidence} from the {face.start} start. Standard deviation of the face {sigma:.2f} mm."


def _list(lines: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def _surfaces(names: list[str]) -> str:
    """Radio buttons, the first of them on."""
    return "".join(
        f'<label><input type="radio" name="surface" value="{name}"{" checked" * (row == 0)}> {name}</label>'
        for row, name in enumerate(names)
    )


def _units(names: tuple[str, ...]) -> str:
    """Options, each with the number of its morph target: ``mouthSmileLeft`` reads ``mouth smile left``."""
    return "".join(
        f'<option value="{row}">{escape(re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower().replace("_", " "))}</option>'
        for row, name in enumerate(names)
        if name != CORRECTIVE
    )


def _gradient() -> str:
    """The colours of `heat_colours` from 0 to its limit, as CSS."""
    colours = to_uint8(heat_colours(np.linspace(0, 1, 9), 1.0)).tolist()
    return ", ".join(f"rgb({r}, {g}, {b})" for r, g, b in colours)


def _photographs(face: "Face") -> str:
    heads = decode(face.flame, face.prediction)
    figures = []
    for view in range(min(MOST, len(face.photographs))):
        marked, overlaid = photograph_tiles(face, heads, view, TILE)
        name, fit = escape(face.photographs[view].path.name), face.views[view]
        off = f"; off: {escape(fit.disagreement)}" if fit.disagreement else ""
        figures.append(
            f'<figure><div><img src="{_jpeg(marked)}" alt="{name} with landmarks">'
            f'<img src="{_jpeg(overlaid)}" alt="{name} with the head"></div><figcaption><b>{name}</b>'
            f"{fit.name}, yaw {fit.yaw:+.0f}°; landmarks off by {fit.residual_mm:.1f} mm "
            f'({fit.residual_px:.1f} px of 128){off}<br><button type="button" data-orbit="{_orbit(face, view)}">'
            f"turn the head to it</button></figcaption></figure>"
        )
    return "".join(figures)


def _orbit(face: "Face", view: int) -> str:
    """Where a view's camera stands, as model-viewer says it: degrees about +y from the front, and from +y."""
    turn = axis_angle_to_matrix(face.prediction.views.global_pose[0, view][None])[0].numpy()
    x, y, z = turn[2]  # towards the camera, in head space
    return f"{np.degrees(np.arctan2(x, z)):.1f}deg {np.degrees(np.arccos(np.clip(y, -1, 1))):.1f}deg auto"


def _jpeg(image: np.ndarray) -> str:
    """A picture [H, W, 3] as a data URL."""
    data = cv2.imencode(".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
