"""Batches of random heads with their true parameters: what the networks' warm starts learn from.

Nothing is written to disk and no two batches are alike: shapes, expressions, poses, lights, cameras and backgrounds are
drawn anew, skins come from a pool. The camera is either a scaled orthography or a perspective one as near as 34 cm.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet.flame import Flame, FlameOutput
from mfnet.geometry import axis_angle_to_matrix, euler_to_matrix, matrix_to_axis_angle, vertex_normals
from mfnet.io.images import to_float, to_uint8
from mfnet.model.parameters import Person, TensorRecord, View
from mfnet.params import SamplerParams
from mfnet.synthetic import lights
from mfnet.synthetic.clutter import cluttered_backgrounds, long_hair, occlude
from mfnet.synthetic.degrade import degrade, random_backgrounds
from mfnet.synthetic.photo import Drawing, develop, draw, visible_points
from mfnet.synthetic.subjects import expression_scale, face_vertices

CLIP_DEPTH = 0.5
"""Clip-space z per metre: a head within 30 cm of its centre stays inside, as near as the camera may come."""
YAWS: dict[int, tuple[tuple[float, float], ...]] = {
    1: ((-90.0, 90.0),),
    3: ((-10.0, 10.0), (-90.0, -10.0), (10.0, 90.0)),
}
"""Ranges of yaw in degrees of the view slots: any, or frontal, left, right."""


class CropFormat(NamedTuple):
    """The square crops that a sampler draws."""

    size: int
    """Side, pixels."""
    scale: float
    """Side over the larger side of the landmarks' box."""
    supersample: int
    """Pixels are averages of supersample x supersample."""


class PosedHeads(NamedTuple):
    """N random people, posed in B = N x views views, before any camera."""

    person: Person  # N of them
    global_pose: Tensor  # [B, 3] axis-angle
    out: FlameOutput  # vertices [B, V, 3], landmarks [B, 68, 3]: view axes (x right, y up, z to the camera), metres


class Lens(NamedTuple):
    """A camera that looks along -z at a square crop: ndc = (p_xy / w - shift) / half, w = 1 - inverse_distance p_z.

    p is relative to `centre`.
    """

    centre: Tensor  # [B, 3] metres: the point on the optical axis from which distance counts
    inverse_distance: Tensor  # [B] 1 / distance of the camera from `centre`, 1/m; 0 is orthography
    shift: Tensor  # [B, 2] centre of the crop, metres at the distance of `centre`
    half: Tensor  # [B] half the crop's side, metres at the distance of `centre`

    def clip(self, points: Tensor) -> Tensor:
        """Points [B, N, 3] in view axes -> clip coordinates [B, N, 4] of the crop."""
        x, y, z = (points - self.centre[:, None]).unbind(-1)
        w = 1 - self.inverse_distance[:, None] * z
        xy = (torch.stack([x, y], -1) - self.shift[:, None] * w[..., None]) / self.half[:, None, None]
        return torch.cat([xy, -CLIP_DEPTH * z[..., None], w[..., None]], -1)

    def ndc(self, points: Tensor) -> Tensor:
        """Points [B, N, 3] in view axes -> ndc [B, N, 2] of the crop."""
        clip = self.clip(points)
        return clip[..., :2] / clip[..., 3:]


@dataclass(frozen=True)
class Sample(TensorRecord):
    """A batch of N subjects in V views, with what they were rendered from."""

    images: Tensor
    """[N, V, 3, H, W] uint8."""
    landmarks: Tensor
    """[N, V, 68, 2] ndc of the crops."""
    visible: Tensor
    """[N, V, 68] bool."""
    person: Person
    views: View
    """The camera is the scaled orthography that fits the projected face best, so its inverse distance is 0; the skin is
    a texture, so there is no albedo code."""
    yaw: Tensor
    """[N, V] degrees."""

    def first_views(self, count: int) -> "Sample":
        """The same people in their first `count` views."""
        return self._map_views(lambda value: value[:, :count])

    def as_single_views(self) -> "Sample":
        """N people in V views as N x V people in one view each, person by person."""
        count = self.images.shape[1]
        single = self._map_views(lambda value: value.flatten(0, 1)[:, None])
        return replace(single, person=self.person.map(lambda code: code.repeat_interleave(count, 0)))

    def _map_views(self, function: Callable[[Tensor], Tensor]) -> "Sample":
        """The same with `function` applied to everything that has an axis of views: all but the person."""
        return replace(
            self,
            images=function(self.images),
            landmarks=function(self.landmarks),
            visible=function(self.visible),
            views=self.views.map(function),
            yaw=function(self.yaw),
        )


class Sampler:
    """Draws batches of random subjects for one head model and one pool of skins."""

    def __init__(self, flame: Flame, textures: Tensor, crop: CropFormat, options: SamplerParams) -> None:
        """textures [T, 3, Ht, Wt] uint8 (`subjects.texture_pool`); options: what is random, and how much."""
        self.flame = flame
        self.textures = textures
        self.crop = crop
        self.size = crop.size
        self.options = options
        self.face = face_vertices(flame)
        self.expression_scale = expression_scale(flame)

    @torch.no_grad()
    def sample(self, rng: np.random.Generator, subjects: int, views: int = 3) -> Sample:
        """Draw `subjects` people in `views` views each: 1 (any yaw) or 3 (frontal, left, right)."""
        yaws = torch.from_numpy(np.stack([rng.uniform(*bounds, subjects) for bounds in YAWS[views]], 1))
        heads = self.random_heads(rng, yaws)
        lens = self.random_lens(rng, heads.out)
        light = self.random_lights(rng, heads.global_pose, subjects, views)
        textures = self.random_textures(rng, subjects).repeat_interleave(views, 0)
        images, drawing = self.photograph(rng, heads.out, lens, textures, light)
        points = heads.out.landmarks
        visible = visible_points(points, lens.clip(points), drawing.depth)

        def by_subject(values: Tensor) -> Tensor:
            return values.unflatten(0, (subjects, views))

        truth = View(
            global_pose=by_subject(heads.global_pose),
            camera=by_subject(self.fit_camera(heads.out, lens)),
            inverse_distance=torch.zeros(subjects, views),
            albedo=torch.zeros(subjects, views, 0),
            light=by_subject(light),
        )
        return Sample(
            images=by_subject(images),
            landmarks=by_subject(lens.ndc(points)),
            visible=by_subject(visible),
            person=heads.person,
            views=truth,
            yaw=yaws.float(),
        )

    def random_lights(self, rng: np.random.Generator, pose: Tensor, subjects: int, views: int) -> Tensor:
        """Lights [subjects x views, 9, 3] in view axes; pose [subjects x views, 3]: the heads' global poses."""
        if not self.options.one_flash:
            return tensor(np.stack([random_photo_light(rng) for _ in range(subjects * views)]))
        return flashes_in_views(np.stack([random_photo_light(rng) for _ in range(subjects)]), pose)

    def random_heads(self, rng: np.random.Generator, yaws: Tensor) -> PosedHeads:
        """People with random shape, expression and jaw, each turned to `yaws` [N, V] degrees and a little otherwise."""
        (count, views), options = yaws.shape, self.options
        shape = tensor(rng.standard_normal((count, self.flame.n_shape)))
        strength = rng.uniform(0, 1.5, (count, 1)) * self.expression_scale
        expression = tensor(strength * rng.standard_normal((count, self.flame.n_expression)))
        jaw = torch.zeros(count, 3)
        jaw[:, 0] = tensor(np.radians(options.jaw_open) * np.abs(rng.standard_normal(count)))
        pitch, roll = (
            tensor(np.radians(s) * rng.standard_normal(count * views)) for s in (options.pitch, options.roll)
        )
        pose = matrix_to_axis_angle(euler_to_matrix(torch.deg2rad(yaws.flatten()).float(), pitch, roll))
        per_view = (field.repeat_interleave(views, 0) for field in (shape, expression))
        out = self.flame(*per_view, pose, jaw_pose=jaw.repeat_interleave(views, 0))
        return PosedHeads(Person(shape, expression, jaw), pose, out)

    def random_lens(self, rng: np.random.Generator, out: FlameOutput) -> Lens:
        """A random distance, and the crop that noisy landmarks would give."""
        options, batch = self.options, len(out.vertices)
        least = 0.0 if options.farthest is None else 1 / options.farthest
        inverse_distance = rng.uniform(least, 1 / options.nearest, batch)
        inverse_distance *= rng.random(batch) >= options.orthographic_share
        centre = out.vertices.mean(1)
        uncropped = Lens(centre, tensor(inverse_distance), torch.zeros(batch, 2), torch.ones(batch))
        points = uncropped.ndc(out.landmarks)
        extent = (points.amax(1) - points.amin(1)).amax(1)[:, None, None]
        noisy = points + self.crop.scale * options.landmark_noise * extent * tensor(rng.standard_normal(points.shape))
        low, high = noisy.amin(1), noisy.amax(1)
        jitter = tensor(rng.uniform(-options.crop_jitter, options.crop_jitter, (batch, 3)))
        half = self.crop.scale * (high - low).amax(1) / 2 * (1 + jitter[:, 0])
        shift = (low + high) / 2 + 2 * half[:, None] * jitter[:, 1:]
        return Lens(centre, uncropped.inverse_distance, shift, half)

    def random_textures(self, rng: np.random.Generator, count: int) -> Tensor:
        """Skins [count, 3, Ht, Wt] float from the pool, each a little brighter or darker and of its own tint."""
        chosen = to_float(self.textures[torch.from_numpy(rng.integers(len(self.textures), size=count))])
        gain = rng.uniform(0.8, 1.2, (count, 1)) * (1 + 0.05 * rng.standard_normal((count, 3)))
        return (chosen * tensor(gain)[:, :, None, None]).clamp(0, 1)

    def photograph(
        self, rng: np.random.Generator, out: FlameOutput, lens: Lens, textures: Tensor, light: Tensor
    ) -> tuple[Tensor, Drawing]:
        """Photographs [B, 3, size, size] uint8 of heads under light [B, 9, 3] (view axes), and their drawing."""
        side = self.crop.supersample * self.size
        normals = vertex_normals(out.vertices, self.flame.faces)
        drawing = draw(self.flame, lens.clip(out.vertices), out.vertices[..., 2], textures, normals, (side, side))
        colour, cover = develop(drawing, light[:, None], self.crop.supersample)
        colour, options = colour[:, 0] * exposure(colour[:, 0], cover), self.options
        background = cluttered_backgrounds(rng, random_backgrounds(rng, len(colour), self.size), options.clutter)
        background = long_hair(rng, colour, cover, background, options.long_hair)
        images = colour + (1 - cover) * background
        images = occlude(rng, images, lens.ndc(out.landmarks), options.occluders)
        images = degrade(rng, images) if options.degrade else images
        return to_uint8(images), drawing

    def fit_camera(self, out: FlameOutput, lens: Lens) -> Tensor:
        """Scaled orthography [B, 3] closest to the lens over the face's vertices."""
        points = out.vertices[:, self.face]
        return fit_orthographic(points[..., :2], lens.ndc(points))


def fit_orthographic(points: Tensor, ndc: Tensor) -> Tensor:
    """Least-squares (s, tx, ty) [B, 3] with ndc = s (points + t); points, ndc [B, N, 2]."""
    mean, target = points.mean(1), ndc.mean(1)
    centred = points - mean[:, None]
    scale = (centred * (ndc - target[:, None])).sum((1, 2)) / centred.square().sum((1, 2))
    return torch.cat([scale[:, None], target / scale[:, None] - mean], 1)


def random_photo_light(rng: np.random.Generator) -> np.ndarray:
    """Light [9, 3] in view axes: half of the time a Multi-PIE flash seen from anywhere, else random lamps."""
    if rng.random() < 0.5:
        return lights.random_light(rng)
    turn = euler_to_matrix(*torch.from_numpy(np.radians([rng.uniform(-90, 90), rng.uniform(-15, 15), 0.0])))
    return lights.rotate_light(lights.multipie_light(int(rng.integers(20))), turn.numpy()) * rng.uniform(0.8, 1.2)


def flashes_in_views(flashes: np.ndarray, pose: Tensor) -> Tensor:
    """Flashes [N, 9, 3] in the heads' axes -> lights [B, 9, 3] in the axes of B / N views each; pose [B, 3] to them."""
    turns = axis_angle_to_matrix(pose).numpy()
    each = flashes.repeat(len(turns) // len(flashes), 0)
    return tensor(np.stack([lights.rotate_light(*pair) for pair in zip(each, turns, strict=True)]))


def exposure(colour: Tensor, cover: Tensor) -> Tensor:
    """Gain [B, 1, 1, 1] of a camera that brings heads colour [B, 3, H, W] part of the way to a mean grey of 0.4."""
    mean = colour.mean((1, 2, 3)) / cover.mean((1, 2, 3)).clamp_min(1e-3)
    return ((0.4 / mean.clamp_min(0.02)) ** 0.6)[:, None, None, None]


def tensor(array: np.ndarray) -> Tensor:
    """NumPy to a float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
