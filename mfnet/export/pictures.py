"""Pictures of heads for people: uint8 RGB arrays [H, W, 3]."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from mfnet.flame.model import Flame
from mfnet.geometry import clip_from_orthographic, euler_to_matrix, vertex_normals
from mfnet.io.images import to_float
from mfnet.render import interpolate, rasterize, sample_texture

CLAY = (0.78, 0.76, 0.74)
"""Colour of a head without texture."""
OVERSAMPLING = 2
"""Pixels are drawn this many times finer each way, then averaged."""
FILL = 0.9
"""Share of the picture that a head fills."""


def render_head(
    vertices: Tensor,
    flame: Flame,
    size: int,
    yaw: float = 0.0,
    texture: Tensor | None = None,
    colours: Tensor | None = None,
) -> np.ndarray:
    """A head [V, 3] (metres, head space) turned by `yaw` degrees, filling the picture: [size, size, 3] uint8.

    Grey and shaded by a lamp beside the camera; with texture [3, T, T] in 0..1, that instead, unshaded; with colours
    [V, 3] in 0..1, those, shaded. The background is white.
    """
    angle = torch.tensor(float(yaw), device=vertices.device).deg2rad()
    turned = vertices.float() @ euler_to_matrix(angle, angle * 0, angle * 0).T
    low, high = turned.amin(0), turned.amax(0)
    scale = 2 * FILL / (high - low)[:2].max()
    camera = torch.cat([scale[None], -(low + high)[:2] / 2])
    clip = clip_from_orthographic(turned[None], camera[None])
    colour, cover = _draw(turned, clip, flame, (size, size), texture, colours)
    return _to_uint8(colour + (1 - cover))


def overlay_head(
    image: np.ndarray, vertices: Tensor, clip: Tensor, flame: Flame, opacity: float = 0.7, colours: Tensor | None = None
) -> np.ndarray:
    """The shaded head drawn over a photograph [H, W, 3] uint8.

    vertices [V, 3]: posed, camera on +z, for the shading; clip [V, 4]: where they fall
    (`mfnet.geometry.clip_from_...`).
    """
    colour, cover = _draw(vertices.float(), clip[None].float(), flame, image.shape[:2], None, colours)
    photo = to_float(torch.tensor(image, device=vertices.device))
    return _to_uint8(photo * (1 - opacity * cover) + opacity * colour)


def overlay_points(
    image: np.ndarray, points: np.ndarray, colour: tuple[int, int, int] = (0, 255, 0), radius: int = 1
) -> np.ndarray:
    """Points [N, 2] (the project's pixels, centres at +0.5) as dots on a copy of an image [H, W, 3] uint8."""
    drawn = image.copy()
    for x, y in np.asarray(points):
        if np.isfinite(x) and np.isfinite(y):
            place = (round((float(x) - 0.5) * 16), round((float(y) - 0.5) * 16))  # OpenCV: sixteenths, centres whole
            cv2.circle(drawn, place, radius * 16, colour, -1, cv2.LINE_AA, shift=4)
    return drawn


def heat_colours(values: np.ndarray, limit: float) -> Tensor:
    """Colours [V, 3] in 0..1 of values [V], 0 to `limit`, on OpenCV's viridis scale; larger ones stay at its end.

    For `render_head`: ``colours=heat_colours(face.vertex_sigma_mm, 3.0)`` shows where a fitted face is uncertain.
    """
    levels = (np.clip(np.asarray(values) / limit, 0, 1) * 255).astype(np.uint8)
    colours = cv2.applyColorMap(levels[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
    return torch.from_numpy(colours.astype(np.float32) / 255)


def grid(rows: Sequence[Sequence[np.ndarray]], gap: int = 4) -> np.ndarray:
    """Pictures side by side, rows below each other, on white; all in one column are as wide, in one row as high."""
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    columns = max(len(row) for row in rows)
    widths = [max(row[i].shape[1] for row in rows if i < len(row)) for i in range(columns)]
    sheet = np.full((sum(heights) + gap * (len(rows) - 1), sum(widths) + gap * (columns - 1), 3), 255, np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for picture, width in zip(row, widths, strict=False):
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            left += width + gap
        top += height + gap
    return sheet


def _draw(
    vertices: Tensor,
    clip: Tensor,
    flame: Flame,
    shape: tuple[int, int],
    texture: Tensor | None,
    colours: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Colour [H, W, 3], premultiplied, and cover [H, W, 1] of one head."""
    height, width = (OVERSAMPLING * side for side in shape)
    raster = rasterize(clip, flame.faces, height, width)
    cover = (raster.face_id > 0).float()[:, None]
    if texture is not None:
        uv, uv_faces = flame.uv_map
        colour = sample_texture(texture[None], interpolate(uv, raster, uv_faces))
    else:
        normals = vertex_normals(vertices[None], flame.faces)[0]
        lamp = torch.nn.functional.normalize(normals.new_tensor([0.3, 0.4, 0.85]), dim=0)
        light = 0.25 + 0.75 * (normals @ lamp).clamp_min(0)[:, None]
        base = normals.new_tensor(CLAY).expand(len(normals), 3) if colours is None else colours.float()
        colour = interpolate(light * base, raster, flame.faces).permute(0, 3, 1, 2)
    drawn = torch.nn.functional.avg_pool2d(torch.cat([colour * cover, cover], 1), OVERSAMPLING)[0]
    return drawn[:3].permute(1, 2, 0), drawn[3:].permute(1, 2, 0)


def _to_uint8(image: Tensor) -> np.ndarray:
    """Halves to even, unlike `mfnet.io.images.to_uint8`: the report's pictures are made so."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
