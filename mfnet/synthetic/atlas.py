"""What a skin painter must know about a head: where each texel lies, and how far it is from lips, lids and brows.

Everything is derived from the head's UV layout, its 68 landmarks and its skinning weights, so that any head in FLAME's
format can be painted. Lengths are face millimetres: millimetres on a head whose outer eye corners are 90 mm apart.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from scipy import ndimage
from scipy.interpolate import splev, splprep
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]  # compiled, without types

from mfnet.flame import Flame
from mfnet.flame.masks import inside_polygon
from mfnet.geometry import clip_from_orthographic, ndc_to_pixels, vertex_normals
from mfnet.landmarks.ibug import LEFT_EYE, RIGHT_EYE
from mfnet.render import interpolate, rasterize, uv_layout
from mfnet.synthetic.photo import BEHIND, not_hidden

EYE_CORNERS_MM = 90.0
FAR = -1e3
"""Signed distance (mm) of texels that a region cannot reach: hidden ones, and those behind the face."""
EYES = {"right": list(RIGHT_EYE), "left": list(LEFT_EYE)}
JAW_JOINT, EYE_JOINTS = 2, {"left": 3, "right": 4}


@dataclass(frozen=True)
class HeadAtlas:
    """Per-texel facts of one head at one texture size; row 0 is v = 1. Made by `head_atlas`."""

    position: np.ndarray
    """[H, W, 3] template position in face mm relative to the nose bridge (landmark 27); head axes."""
    covered: np.ndarray
    """[H, W] bool: the texel belongs to a face of the UV layout; others copy the nearest covered texel."""
    landmarks: np.ndarray
    """[68, 3] in the coordinates of `position`."""
    lips: np.ndarray
    """[H, W] signed distance to the outline of the lips, positive inside."""
    mouth: np.ndarray
    """[H, W] distance to the line between the lips."""
    inner_mouth: np.ndarray
    """[H, W] bool: behind the lips."""
    lids: np.ndarray
    """[H, W] signed distance to the nearest eye's outline, positive inside."""
    eye: np.ndarray
    """[H, W] bool: eyeball, or the eye's opening on heads without eyeballs."""
    eye_offset: np.ndarray
    """[H, W, 2] x and y from the centre of the nearest eye."""
    brow: np.ndarray
    """[H, W] signed distance to the nearest brow's line, positive above."""
    brow_along: np.ndarray
    """[H, W] 0 at the brow's inner end, 1 at the outer."""
    teeth: np.ndarray
    """[H, W] bool: teeth and their gums, on heads that have them."""
    crown: np.ndarray
    """[H, W] height over the biting edge, towards the root, of texels of `teeth`."""
    tongue: np.ndarray
    """[H, W] bool, on heads that have one."""
    front: np.ndarray
    """[H, W] bool: seen from straight ahead."""
    occlusion: np.ndarray
    """[H, W] share of the sky that reaches the texel, 0..1 (ambient occlusion of the template)."""

    @property
    def size(self) -> int:
        """Side of the square texture in texels."""
        return self.position.shape[0]


def head_atlas(flame: Flame, size: int) -> HeadAtlas:
    """The atlas of `flame`'s template at `size` x `size` texels."""
    with torch.no_grad():
        out = flame(
            torch.zeros(1, flame.n_shape), torch.zeros(1, flame.n_expression), torch.zeros(1, 3)
        )  # the template: its own landmarks define the frame
        vertices, landmarks = out.vertices.float(), out.landmarks_full[0].numpy().astype(np.float64)
        texels = _unwrap_attributes(flame, size, _vertex_attributes(flame, vertices))
    scale = np.linalg.norm(landmarks[45] - landmarks[36]) / EYE_CORNERS_MM
    attributes, covered = texels
    position = (attributes[..., :3] - landmarks[27]) / scale
    points = (landmarks - landmarks[27]) / scale
    eye, eye_offset = _eyes(position, attributes[..., 6:8], points, front=attributes[..., 3] > 0.5)
    teeth, tongue = (attributes[..., column] > 0.5 for column in (8, 9))
    front = (attributes[..., 3] > 0.5) & ~eye
    brow, brow_along = _brows(position, points, front)
    lids = np.maximum(*[_signed_distance(position, points[eyelids], front) for eyelids in EYES.values()])
    lips = _signed_distance(position, points[48:60], front)
    return HeadAtlas(
        position=position.astype(np.float32),
        covered=covered,
        landmarks=points,
        lips=lips,
        mouth=_line_distance(position[..., :2], points[[60, 61, 62, 63, 64], :2])[0],
        inner_mouth=_inner_mouth(position, points, front),
        lids=lids,
        eye=eye,
        eye_offset=eye_offset,
        brow=brow,
        brow_along=brow_along,
        teeth=teeth,
        crown=_crown(position, teeth, lower=attributes[..., 5] > 0.5),
        tongue=tongue,
        front=front,
        occlusion=attributes[..., 4].astype(np.float32),
    )


def _vertex_attributes(flame: Flame, vertices: torch.Tensor) -> torch.Tensor:
    """[V, 10]: position, seen from the front, ambient occlusion, weights of jaw, left and right eye, teeth, tongue."""
    forward = torch.tensor([[0.0, 0.0, 1.0]])
    front = _visible_from(vertices, flame.faces, forward)[0].float()[:, None]
    occlusion = ambient_occlusion(vertices, flame.faces)[:, None]
    joints = flame.weights[:, [JAW_JOINT, *EYE_JOINTS.values()]].float()
    nowhere = torch.zeros(len(joints), dtype=torch.bool)
    regions = torch.stack([flame.masks.get(name, nowhere) for name in ("teeth", "tongue")], -1).float()
    return torch.cat([vertices[0], front, occlusion, joints, regions], -1)


def _unwrap_attributes(flame: Flame, size: int, attributes: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Vertex attributes [V, C] -> texels [H, W, C] and which of them lie on a face; the others copy the nearest."""
    raster = uv_layout(flame.faces, *flame.uv_map, size).raster
    texels = interpolate(attributes, raster, flame.faces)[0].numpy()
    covered = raster.face_id[0].numpy() > 0
    found = ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True)
    nearest = cast(np.ndarray, found)  # scipy has no types: None is for indices written in place
    return texels[nearest[0], nearest[1]].astype(np.float64), covered


def _visible_from(
    vertices: torch.Tensor, faces: torch.Tensor, directions: torch.Tensor, size: int = 256
) -> torch.Tensor:
    """Which vertices [1, V, 3] are seen from far away along unit `directions` [D, 3] -> bool [D, V]; 2 mm tolerance."""
    side = torch.linalg.cross(torch.tensor([[0.0, 1.0, 1e-3]]).expand_as(directions), directions)
    side = torch.nn.functional.normalize(side, dim=-1)
    axes = torch.stack([side, torch.linalg.cross(directions, side), directions], -2)  # rows: image x, y, towards us
    centre = (vertices.amin(1) + vertices.amax(1)) / 2
    turned = (vertices - centre) @ axes.mT
    scale = 0.95 / turned.abs().amax()
    camera = torch.stack([scale, torch.zeros(()), torch.zeros(())]).expand(len(directions), 3)
    clip = clip_from_orthographic(turned, camera)
    raster = rasterize(clip, faces, size, size)
    depth = interpolate(turned[..., 2:], raster, faces)[..., 0]
    depth = torch.where(raster.face_id > 0, depth, torch.full_like(depth, BEHIND))
    return not_hidden(depth, ndc_to_pixels(clip[..., :2], size, size), turned[..., 2], tolerance=0.002)


def ambient_occlusion(vertices: torch.Tensor, faces: torch.Tensor, count: int = 64) -> torch.Tensor:
    """Cosine-weighted share of `count` directions over the sphere that each vertex sees -> [V]."""
    index = torch.arange(count) + 0.5
    height, turn = 1 - 2 * index / count, index * 2.399963  # golden angle: even cover of the sphere
    radius = (1 - height**2).sqrt()
    directions = torch.stack([radius * turn.cos(), height, radius * turn.sin()], -1)
    cosine = (vertex_normals(vertices, faces)[0] @ directions.T).clamp_min(0)  # [V, D]
    seen = _visible_from(vertices, faces, directions).float().T
    return (cosine * seen).sum(1) / cosine.sum(1).clamp_min(1e-6)


def _curve(points: np.ndarray, closed: bool, count: int = 400) -> np.ndarray:
    """A cubic spline through points [N, 2] sampled at `count` places [count, 2]."""
    path = np.vstack([points, points[:1]]) if closed else points
    spline, _ = splprep(path.T, s=0, per=closed, k=3)
    return np.stack(splev(np.linspace(0, 1, count, endpoint=not closed), spline), -1)


def _line_distance(xy: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of xy [H, W, 2] to the open curve through `points`, and the place along it (0..1)."""
    curve = _curve(points, closed=False)
    distance, nearest = cKDTree(curve).query(xy)
    return distance.astype(np.float32), (nearest / (len(curve) - 1)).astype(np.float32)


def _signed_distance(position: np.ndarray, outline: np.ndarray, reachable: np.ndarray) -> np.ndarray:
    """Signed distance in the frontal plane to the closed curve through `outline` [N, 3]; FAR where not reachable."""
    curve = _curve(outline[:, :2], closed=True)
    xy = position[reachable][:, :2]
    distance = cKDTree(curve).query(xy)[0]
    result = np.full(position.shape[:2], FAR, np.float32)
    result[reachable] = np.where(inside_polygon(xy, curve), distance, -distance)
    return result


def _brows(position: np.ndarray, points: np.ndarray, front: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance to the nearer brow and the place along it, from the inner end outwards."""
    right, along_right = _line_distance(position[..., :2], points[[21, 20, 19, 18, 17], :2])
    left, along_left = _line_distance(position[..., :2], points[22:27, :2])
    along, nearer = np.where(right < left, along_right, along_left), np.minimum(right, left)
    places, brows = np.linspace(0, 1, 5), ([21, 20, 19, 18, 17], [22, 23, 24, 25, 26])
    heights = [np.interp(along, places, points[brow, 1]) for brow in brows]
    above = position[..., 1] > np.where(right < left, *heights)
    return np.where(front, np.where(above, nearer, -nearer), -FAR).astype(np.float32), along


def _eyes(
    position: np.ndarray, weights: np.ndarray, points: np.ndarray, front: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Texels of the eyeballs and their offset from the eye's centre. weights [H, W, 2]: of left and right eye joint."""
    eye, offset = np.zeros(front.shape, bool), np.full((*front.shape, 2), -FAR, np.float32)
    for column, name in enumerate(EYE_JOINTS):
        outline = points[EYES[name]]
        ball = weights[..., column] > 0.5
        region = ball if ball.any() else _signed_distance(position, outline, front) > 0
        centre = (outline[0] + outline[3])[:2] / 2
        if ball.any():
            centre = (position[ball].min(0) + position[ball].max(0))[:2] / 2
        eye |= region
        offset[region] = position[region][:, :2] - centre
    return eye, offset


def _crown(position: np.ndarray, teeth: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Height [H, W] of the teeth's texels over the edge where upper and `lower` teeth meet, 0 elsewhere."""
    height = np.zeros(teeth.shape, np.float32)
    for row, sign in ((teeth & ~lower, 1), (teeth & lower, -1)):
        if row.any():
            y = sign * position[row][:, 1]
            height[row] = y - y.min()
    return height


def _inner_mouth(position: np.ndarray, points: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Hidden texels behind the lips: teeth, tongue, the mouth's bag."""
    x, y, z = np.moveaxis(position, -1, 0)
    lips = points[48:68]
    low, high = lips.min(0), lips.max(0)
    inside = (x > low[0]) & (x < high[0]) & (np.abs(y - lips[:, 1].mean()) < 25) & (z < high[2] - 3) & (z > low[2] - 60)
    return inside & ~front
