"""Draw random people on a head, and see what the face mesh network sees in the pictures."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mfnet.flame import Flame
from mfnet.geometry import euler_to_matrix, matrix_to_axis_angle, ndc_to_pixels, vertex_normals
from mfnet.io.images import to_float, to_uint8
from mfnet.landmarks.mediapipe.faces import find_faces
from mfnet.landmarks.mediapipe.ibug68 import ibug68
from mfnet.synthetic.degrade import random_backgrounds
from mfnet.synthetic.photo import develop, draw
from mfnet.synthetic.sampler import Lens, exposure, random_photo_light, tensor

SIZE = 256
"""Side of the pictures, pixels."""
YAWS = (-45.0, -33.0, -22.0, -11.0, 0.0, 11.0, 22.0, 33.0, 45.0)
"""Degrees, each give or take `JITTER`; meshes of heads turned farther are seldom right."""
JITTER, PITCH, ROLL = 4.0, 10.0, 4.0
"""Degrees: half range of the yaw, standard deviations of the others."""
REACH = 0.55
"""Half side of the picture over the larger extent of the head in it."""
NEAR = 1.6
"""Greatest reciprocal of the camera's distance, 1/m."""


@dataclass(frozen=True)
class Sightings:
    """P pictures in which a face was found, and what was drawn there."""

    mesh: np.ndarray
    """[P, 478, 2] detected, px."""
    vertices: np.ndarray
    """[P, V, 2] of the head that was drawn, px."""
    facing: np.ndarray
    """[P, V] cosine between the vertex's normal and the direction to the camera."""
    face: np.ndarray
    """[P, SIZE, SIZE] index of the triangle that a pixel shows, -1: none."""
    yaw: np.ndarray
    """[P] degrees."""
    person: np.ndarray
    """[P]"""
    pixels: np.ndarray
    """[P, SIZE, SIZE, 3] uint8."""
    drawn: int
    """Pictures that were drawn."""

    @property
    def half(self) -> np.ndarray:
        """[P] px of one ndc of the crop that the 68 points of the mesh would give: 1.25 times their box."""
        points = np.stack([ibug68(each) for each in self.mesh])
        return 1.25 * np.ptp(points, axis=1).max(-1) / 2


class Play(NamedTuple):
    """How the faces of random people move."""

    expression: float
    """Standard deviation of their expressions' coefficients."""
    jaw: float
    """Scale of the half-normal opening of the jaw, degrees."""


def look(flame: Flame, skins: Tensor, people: int, play: Play, seed: int) -> Sightings:
    """Pictures of `people` random people, each from all `YAWS`, and the faces that were found in them.

    skins [T, 3, H, W] uint8 in the head's UV layout.
    """
    rng = np.random.default_rng(seed)
    rows, drawn = [], 0
    for person in tqdm(range(people), desc="people", disable=None):
        for row in _person(flame, skins, play, rng):
            drawn += 1
            if row is not None:
                rows.append((*row, person))
    columns = zip(*rows, strict=True) if rows else ([],) * 7
    mesh, vertices, facing, face, yaw, pixels, number = (np.array(column) for column in columns)
    return Sightings(mesh, vertices, facing, face, yaw, number, pixels, drawn)


@torch.no_grad()
def _person(flame: Flame, skins: Tensor, play: Play, rng: np.random.Generator) -> Iterator[tuple | None]:
    """One person from all sides; None where no face was found."""
    count = len(YAWS)
    yaws = np.array(YAWS) + rng.uniform(-JITTER, JITTER, count)
    pitch, roll = (tensor(np.radians(scale) * rng.standard_normal(count)) for scale in (PITCH, ROLL))
    pose = matrix_to_axis_angle(euler_to_matrix(tensor(np.radians(yaws)), pitch, roll))
    shape, codes = (tensor(rng.standard_normal((1, n))) for n in (flame.n_shape, flame.n_expression))
    jaw = torch.zeros(count, 3)
    jaw[:, 0] = np.radians(play.jaw) * abs(rng.standard_normal())
    out = flame(shape.expand(count, -1), play.expression * codes.expand(count, -1), pose, jaw_pose=jaw)
    normals = vertex_normals(out.vertices, flame.faces)
    lens = _lens(out.vertices, rng)
    clip = lens.clip(out.vertices)
    skin = to_float(skins[int(rng.integers(len(skins)))])[None].expand(count, -1, -1, -1)
    drawing = draw(flame, clip, out.vertices[..., 2], skin, normals, (SIZE, SIZE))
    light = tensor(np.stack([random_photo_light(rng) for _ in range(count)]))
    colour, cover = develop(drawing, light[:, None], 1)
    image = colour[:, 0] * exposure(colour[:, 0], cover) + (1 - cover) * random_backgrounds(rng, count, SIZE)
    pixels = to_uint8(image).permute(0, 2, 3, 1).contiguous().numpy()
    places = ndc_to_pixels(clip[..., :2] / clip[..., 3:], SIZE, SIZE).numpy()
    faces = drawing.raster.face_id.numpy().astype(np.int32) - 1
    for row in range(count):
        found = find_faces(pixels[row])
        mesh = found[0].mesh.points[:, :2] if found else None
        yield (
            None
            if mesh is None
            else (mesh, places[row], normals[row, :, 2].numpy(), faces[row], yaws[row], pixels[row])
        )


def _lens(vertices: Tensor, rng: np.random.Generator) -> Lens:
    """Cameras that show whole heads [B, V, 3]."""
    centre = vertices.mean(1)
    away = tensor(rng.uniform(0, NEAR, len(vertices)))
    whole = Lens(centre, away, torch.zeros(len(vertices), 2), torch.ones(len(vertices)))
    points = whole.ndc(vertices)
    low, high = points.amin(1), points.amax(1)
    return Lens(centre, away, (low + high) / 2, REACH * (high - low).amax(1))
