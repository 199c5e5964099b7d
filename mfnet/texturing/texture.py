"""The texture of a fitted head, from its photographs at their own resolution."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from mfnet.flame import Flame
from mfnet.io.images import to_float
from mfnet.model.parameters import Prediction
from mfnet.model.projection import decode
from mfnet.photographs import Photograph
from mfnet.render.rasterizer import interpolate, rasterize
from mfnet.render.texture import UVLayout, fill_holes, fuse_views, region_of, sample_texture, unwrap, uv_layout
from mfnet.render.view import ndc, orthographic_view, sample_image
from mfnet.texturing.balance import balanced
from mfnet.texturing.foreground import foreground
from mfnet.texturing.symmetry import mirrored_uv

WIDE = 2.2
"""Side of the square that colours come from, over the landmarks' box: hair, ears and neck are in it."""
LARGEST = 1024
"""Most pixels of its side."""
FEATHER = 1 / 24
"""Share of the texture's side over which a view fades in from the border of what it sees."""
OVERLAP = 0.3
"""Confidence from which a texel is sure enough to be held against its mirror image."""
FADE = (0.15, 0.45)
"""Confidence at which a texel is its mirror image's alone, and at which it is its own."""
UNSEEN = {"teeth": (0.86, 0.83, 0.76), "tongue": (0.66, 0.36, 0.35), "mouth_inside": (0.42, 0.17, 0.16)}
"""Colours, sRGB, of regions that no photograph shows, on heads that name them."""


class Texture(NamedTuple):
    """A head's skin in its UV layout."""

    colour: Tensor
    """[3, T, T] in [0, 1], row 0 at v = 1."""
    confidence: Tensor
    """[T, T] how squarely the photographs show a texel, in [0, 1]; 0: filled in."""


@torch.no_grad()
def photographic_texture(
    flame: Flame, prediction: Prediction, photographs: Sequence[Photograph], crop_scale: float, size: int
) -> Texture:
    """The texture of a fitted head: prediction of batch 1 for the photographs, cropped to `crop_scale`; size: T.

    Every photograph is unwrapped from a wide crop at its own resolution, without its background
    (`mfnet.texturing.foreground`) and in the first one's light (`mfnet.texturing.balance`); views fade into each other.
    What none shows is its mirror image, shifted in colour to fit, or flows in from the rim.
    """
    layout = uv_layout(flame.faces, *flame.uv_map, size)
    textures, weights = _unwrapped(flame, prediction, photographs, crop_scale, layout)
    textures = balanced(textures, weights)
    fade = torch.stack([torch.from_numpy(feathered(weight.numpy() > 0)) for weight in weights])
    colour, _ = fuse_views(textures[None], (weights * fade)[None])
    confidence = weights.amax(0)
    colour, known = with_mirror_image(colour[0], confidence, mirrored_uv(flame, layout))
    return Texture(_filled(flame, colour, known, layout).clamp(0, 1), confidence)


def _unwrapped(
    flame: Flame, prediction: Prediction, photographs: Sequence[Photograph], crop_scale: float, layout: UVLayout
) -> tuple[Tensor, Tensor]:
    """Textures [V, 3, T, T] and weights [V, T, T] of the photographs (`mfnet.render.texture.unwrap`)."""
    heads = decode(flame, prediction)
    wider = heads.cameras.new_tensor([crop_scale / WIDE, 1, 1])
    neck = flame.masks["neck"][flame.faces].any(-1) if "neck" in flame.masks else torch.zeros(len(flame.faces)).bool()

    @torch.no_grad()  # a thread begins with gradients
    def unwrapped(view: int) -> tuple[Tensor, Tensor]:
        vertices, divisor = heads.vertices[:, view], heads.divisor[:, view]
        mesh = orthographic_view(vertices, flame.faces, heads.cameras[:, view] * wider, divisor)
        photograph = photographs[view]
        box = photograph.box(WIDE)
        side = max(64, min(LARGEST, round(box.side)))
        image = photograph.wide(WIDE, side)
        inside = photograph.covers(box, side)
        drawn = rasterize(mesh.clip, flame.faces, side, side)
        masks = ((drawn.face_id > 0)[0], region_of(drawn, ~neck)[0])
        person = torch.from_numpy(foreground(image, *(mask.numpy() for mask in masks), inside))[None, None]  # pyright: ignore[reportCallIssue]
        pixels = to_float(torch.from_numpy(image)).permute(2, 0, 1)[None]
        texture, weight = unwrap(pixels, mesh, layout)
        at = ndc(interpolate(mesh.clip, layout.raster, flame.faces))
        return texture, weight * (sample_image(person, at)[:, 0] > 0.99)

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        textures, weights = zip(*threads.map(unwrapped, range(len(photographs))), strict=True)
    return torch.cat(textures), torch.cat(weights)


def feathered(seen: np.ndarray) -> np.ndarray:
    """[T, T] float32: 0 at the border of what is seen [T, T] bool, 1 from FEATHER inside it on."""
    padded = np.pad(seen.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    return np.clip(distance / (FEATHER * len(seen)), 0, 1).astype(np.float32)


def with_mirror_image(colour: Tensor, confidence: Tensor, uv: Tensor) -> tuple[Tensor, Tensor]:
    """A texture [3, T, T] where what is seen badly or not at all comes from its mirror image, and what is known then.

    confidence [T, T]; uv [T, T, 2]: of the mirror images (`mirrored_uv`). The mirror image is shifted by the difference
    of colours where both sides are seen, which flows into what is not: light comes from a side.
    Returns colour [3, T, T] and known [T, T] bool.
    """
    exists = uv.isfinite().all(-1)
    place = uv.nan_to_num()[None]
    image = sample_texture(colour[None], place)[0]
    other = sample_texture(confidence[None, None], place)[0, 0] * exists
    complete = sample_texture((confidence > 0).float()[None, None], place)[0, 0] > 0.999
    other = other * complete
    both = (confidence > OVERLAP) & (other > OVERLAP)
    shift = fill_holes(_smoothed(colour - image, both)[None], both[None].float())[0]
    own = ((confidence - FADE[0]) / (FADE[1] - FADE[0])).clamp(0, 1)
    own = torch.where(other > confidence, own, (confidence > 0).float())
    mixed = own * colour + (1 - own) * (image + shift).clamp(0, 1)
    known = (confidence > 0) | (other > 0)
    return mixed * known, known


def _smoothed(values: Tensor, mask: Tensor) -> Tensor:
    """Values [3, T, T] averaged over a neighbourhood in the mask [T, T] bool; 0 outside of it."""
    kernel = 2 * (mask.shape[-1] // 64) + 1
    weighed = torch.cat([values * mask, mask[None].to(values)]).permute(1, 2, 0).contiguous().numpy()
    total = torch.from_numpy(cv2.blur(weighed, (kernel, kernel))).permute(2, 0, 1)
    return total[:3] / total[3].clamp_min(1e-6) * mask


def _filled(flame: Flame, colour: Tensor, known: Tensor, layout: UVLayout) -> Tensor:
    """The texture [3, T, T] with its holes filled, every island of the UV layout from its own texels."""
    face = layout.raster.face_id[0].long()
    island = torch.from_numpy(islands(layout.uv_faces.numpy())).long()
    of_texel = torch.where(face > 0, island[(face - 1).clamp_min(0)], -1)
    result = fill_holes(colour[None], known[None].float())[0]
    for number in range(int(island.max()) + 1):
        box = _box(of_texel == number)
        here = of_texel[box] == number
        seen = known[box] & here
        if bool(seen.any()) and not bool(seen[here].all()):
            inside = (slice(None), *box)
            filled = fill_holes((colour[inside] * seen)[None], seen[None].float())[0]
            result[inside] = torch.where(here, filled, result[inside])
    for name, value in UNSEEN.items():
        if name in flame.masks:
            inside = flame.masks[name][layout.faces].all(-1)[(face - 1).clamp_min(0)] & (face > 0)
            result = torch.where(inside & ~known, result.new_tensor(value)[:, None, None], result)
    return result


def _box(mask: Tensor) -> tuple[slice, slice]:
    """Rows and columns of what is true in a mask [T, T]; empty slices where nothing is."""
    if not bool(mask.any()):
        return slice(0, 0), slice(0, 0)
    rows, columns = (mask.any(axis).nonzero()[:, 0] for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def islands(uv_faces: np.ndarray) -> np.ndarray:
    """Which connected part of the UV layout each face [F, 3] belongs to, [F]."""
    edges = np.concatenate([uv_faces[:, :2], uv_faces[:, 1:]])
    count = int(uv_faces.max()) + 1
    graph = coo_array((np.ones(len(edges)), edges.T), (count, count))
    return connected_components(graph, directed=False)[1][uv_faces[:, 0]]
