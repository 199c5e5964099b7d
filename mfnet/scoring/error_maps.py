"""Error maps: for one item a PLY and a PNG with the distance to the ground truth in colour, always 0-5 mm."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mfnet.io.files import atomic_path
from mfnet.io.images import to_uint8
from mfnet.scoring.cylinder import SIZE
from mfnet.scoring.metrics import Errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANGE = (0.0, 5.0)
"""Millimetres at the two ends of the colour bar; farther is drawn as 5 mm."""
COLOURS = "turbo"
PIXELS = 360


def write_error_map(stem: str | Path, errors: Errors, title: str, row: dict) -> None:
    """Write ``<stem>.ply`` (the prediction's cylinder surface, mm, canonical frame) and ``<stem>.png``.

    errors: distances of `mfnet.scoring.metrics.compare`. row: its CD, CR and MNE go under the title.
    """
    import trimesh

    used = errors.surface.used
    renumber = np.cumsum(used) - 1
    mesh = trimesh.Trimesh(
        errors.surface.vertices[used],
        renumber[errors.surface.faces][:, [1, 0, 2]],  # outwards
        vertex_colors=colours(errors.prediction_to_truth),
        process=False,
    )
    stem = Path(stem)
    with atomic_path(stem.with_name(stem.name + ".ply")) as beside:
        ply = mesh.export(file_type="ply")
        assert isinstance(ply, bytes)
        beside.write_bytes(ply)
    with atomic_path(stem.with_name(stem.name + ".png")) as beside:
        _draw(errors, title, row).savefig(beside, dpi=100, metadata={"Software": None})


def colours(distances: np.ndarray) -> np.ndarray:
    """RGBA uint8 [N, 4] of distances [N] in mm on the fixed range."""
    from matplotlib import colormaps

    share = np.clip((distances - RANGE[0]) / (RANGE[1] - RANGE[0]), 0, 1)
    return to_uint8(colormaps[COLOURS](share))


def error_picture(distances: np.ndarray) -> np.ndarray:
    """A front view of distances [H, W] (mm, NaN beside the face) as uint8 [H, W, 3], white beside the face."""
    drawn = colours(np.nan_to_num(distances).ravel())[:, :3].reshape(*distances.shape, 3)
    return np.where(np.isnan(distances)[..., None], np.uint8(255), drawn)


def distance_map(errors: Errors) -> np.ndarray:
    """Distances on the pixels of the cylinder map [256, 256], mm; NaN where the prediction has no surface."""
    values = np.full(SIZE * SIZE, np.nan)
    values[errors.surface.used] = errors.prediction_to_truth
    return values.reshape(SIZE, SIZE)


def front_view(errors: Errors, pixels: int = PIXELS) -> np.ndarray:
    """Distances as seen from the front, orthographic, 300 mm a side [pixels, pixels]; NaN beside the face.

    Row 0 is the top. The surface is drawn by the project's rasterizer.
    """
    import torch

    from mfnet.render.rasterizer import interpolate, rasterize

    used = errors.surface.used
    renumber = np.cumsum(used) - 1
    vertices = errors.surface.vertices[used] / 150.0
    clip = np.column_stack([vertices[:, :2], -vertices[:, 2] / 4, np.ones(len(vertices))])
    faces = torch.from_numpy(renumber[errors.surface.faces])
    raster = rasterize(torch.from_numpy(clip)[None], faces, pixels, pixels)
    values = interpolate(torch.from_numpy(errors.prediction_to_truth[:, None]), raster, faces)[0, :, :, 0].numpy()
    return np.where(raster.face_id[0].numpy() > 0, values, np.nan)


def _draw(errors: Errors, title: str, row: dict) -> "Figure":
    """The front view beside the cylinder map, with the colour bar in mm; no pyplot state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2)
    views = ((front_view(errors), "front"), (distance_map(errors), "cylinder map (back | face | back)"))
    for axis, (values, name) in zip(axes, views, strict=True):
        drawn = axis.imshow(values, cmap=COLOURS, vmin=RANGE[0], vmax=RANGE[1], interpolation="nearest")
        axis.set_title(name, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.colorbar(drawn, ax=list(axes), label="distance to ground truth, mm", extend="max", shrink=0.8)
    figure.suptitle(f"{title}   CD {row['CD']:.3f} mm, CR {row['CR']:.3f}, MNE {row['MNE']:.3f}", fontsize=10)
    return figure
