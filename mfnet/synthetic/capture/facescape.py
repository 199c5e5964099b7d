"""Held-out subjects in the FaceScape benchmark's layout: what a model is measured on, never trained on.

The ground truth is a scan, not a model's output: a head of the model's family with a mild expression, displaced along
its normals by smooth relief that no coefficient can follow. So no fit reaches zero.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from mfnet.datasets import facescape as layout
from mfnet.flame import Flame
from mfnet.flame.population import Ranges
from mfnet.geometry import (
    PinholeCamera,
    clip_from_orthographic,
    euler_to_matrix,
    matrix_to_axis_angle,
    vertex_normals,
)
from mfnet.geometry.conventions import VIEW_TO_OPENCV
from mfnet.io.images import to_uint8
from mfnet.render import perspective_view
from mfnet.synthetic.atlas import HeadAtlas
from mfnet.synthetic.capture.truth import TruePerson, orthographic_truth, perspective_truth
from mfnet.synthetic.degrade import degrade, random_backgrounds
from mfnet.synthetic.lights import random_light
from mfnet.synthetic.noise import SolidNoise
from mfnet.synthetic.photo import develop, draw
from mfnet.synthetic.subjects import Subject, expression_scale, paint_subject, random_subject

SUPERSAMPLE = 2
RELIEF = ((22.0, 0.5), (9.0, 0.15))
"""Wavelength and standard deviation, mm, of the scan's relief."""
WILD_SUBJECTS, LAB_SUBJECTS = 1000, 2000
"""Subject numbers start here: disjoint from Multi-PIE's three digits and from each other."""
EXPRESSION_STRENGTH = 0.6
"""Of a scan's expression, in standard deviations of a random one."""


class HeldOutSubject:
    """A scanned person: true parameters, and the ground-truth mesh in canonical millimetres."""

    def __init__(self, flame: Flame, atlas: HeadAtlas, number: int, seed: int, population: Ranges) -> None:
        self.number = number
        self.subject: Subject = random_subject(flame, (seed, 3, number), population)
        self.rng = np.random.default_rng((seed, 4, number))
        strength = EXPRESSION_STRENGTH * expression_scale(flame)
        self.shape = torch.from_numpy(self.subject.shape)[None]
        self.expression = _row(strength * self.rng.standard_normal(flame.n_expression))
        self.jaw_pose = _row([np.radians(2.0) * abs(self.rng.standard_normal()), 0.0, 0.0])
        out = flame(self.shape, self.expression, torch.zeros(1, 3), jaw_pose=self.jaw_pose)
        relief = self._relief(flame, out.vertices)
        landmarks = out.landmarks_full[0].double().numpy()
        pupils = [landmarks[corners].mean(0) for corners in ([42, 45], [36, 39])]
        self.centre = relief.mean(0)
        self.scale = layout.PUPIL_DISTANCE / np.linalg.norm(pupils[0] - pupils[1])
        """Canonical millimetres per metre of the head model."""
        self.root_joint = out.joints[0, 0].double().numpy()
        self.vertices = layout.canonical_head(relief, *pupils)
        self.normals = vertex_normals(_row(self.vertices), flame.faces)
        self.texture = paint_subject(atlas, self.subject)

    def _relief(self, flame: Flame, vertices: Tensor) -> np.ndarray:
        """The vertices [V, 3], metres, displaced along their normals; eyeballs stay."""
        noise = SolidNoise(self.rng, 1000 * vertices.numpy())
        height = sum(amplitude / 1000 * noise(wavelength)[0] for wavelength, amplitude in RELIEF)
        height = height * (flame.weights[:, 3:].sum(1) < 0.5).numpy()
        normals = vertex_normals(vertices, flame.faces)[0].numpy()
        return (vertices[0].numpy() + height[:, None] * normals).astype(np.float64)

    def head_pose(self, view: np.ndarray) -> Tensor:
        """FLAME's global pose [3] of the head turned by `view` [3, 3] (canonical to view axes)."""
        return matrix_to_axis_angle(torch.from_numpy(view)).float()

    def offset(self, view: np.ndarray) -> np.ndarray:
        """[3] metres in view axes: view (v - centre) = flame(global pose of view).vertices + this."""
        return view @ (self.root_joint - self.centre) - self.root_joint

    def truth(self) -> TruePerson:
        """What the rows of all this person's photographs share."""
        return TruePerson(f"{self.number:04d}", self.subject.attributes, self.shape, self.expression, self.jaw_pose)


@torch.no_grad()
def write_wild(
    flame: Flame, atlas: HeadAtlas, root: Path, index: int, seed: int, population: Ranges
) -> tuple[layout.WildItem, dict]:
    """Write item `index` (0..399) of the wild protocol; its predefined values and its row of the truth table."""
    person = HeldOutSubject(flame, atlas, WILD_SUBJECTS + index, seed, population)
    rng = person.rng
    bin_of = index // (layout.WILD_ITEMS // len(layout.WILD_BINS))
    low, high = map(float, layout.WILD_BINS[bin_of].split("-"))
    yaw = rng.uniform(low + 0.5, high - 0.5) * rng.choice([-1, 1])
    angles = np.radians([yaw, rng.normal(0, 6.0), rng.normal(0, 4.0)])
    rotation = euler_to_matrix(*torch.from_numpy(angles)).numpy()
    pupil_scale = rng.uniform(125.0, 155.0)
    centre = np.array([rng.normal(0, 0.03), rng.normal(-0.10, 0.03), -10.0])
    item = layout.WildItem(index, rotation, float(pupil_scale), centre)
    camera = np.array([1 / pupil_scale, *(centre[:2] * pupil_scale)])
    turned = _row(person.vertices @ rotation.T)
    clip = clip_from_orthographic(turned / pupil_scale, _row([1.0, *centre[:2]]))
    normals, light = _row(person.normals[0].numpy() @ rotation.T), _row(random_light(rng))
    image = _photograph(
        flame, clip, turned[..., 2], person.texture, normals, light, random_backgrounds(rng, 1, layout.IMAGE_SIZE)
    )
    layout.write_wild_item(root, item, person.vertices, flame.faces.numpy(), _uint8(degrade(rng, image)))
    scale = person.scale * camera[0]
    shift = person.offset(rotation)[:2] + camera[1:] / person.scale
    path = f"facescape/data/wild_img/{item.name}.png"
    return item, orthographic_truth(path, person.truth(), person.head_pose(rotation), [scale, *shift])


@torch.no_grad()
def write_lab(flame: Flame, atlas: HeadAtlas, root: Path, subject: int, seed: int, population: Ranges) -> list[dict]:
    """Write lab subject `subject` and its 33 images and cameras; their rows of the truth table."""
    person = HeldOutSubject(flame, atlas, LAB_SUBJECTS + subject, seed, population)
    layout.write_lab_subject(root, subject, person.vertices, flame.faces.numpy())
    light = _row(random_light(person.rng))
    background = random_backgrounds(person.rng, 1, layout.IMAGE_SIZE)
    rows = []
    for focal in range(len(layout.LAB_FOCALS)):
        for view in range(len(layout.LAB_VIEWS)):
            K, rotation, translation = layout.lab_camera(focal, view)
            camera = _lab_camera(K, rotation, translation)
            seen = perspective_view(_row(person.vertices), flame.faces, camera)
            image = _photograph(flame, seen.clip, -seen.distance, person.texture, person.normals, light, background)
            layout.write_lab_view(root, subject, focal, view, _uint8(image))
            axes = VIEW_TO_OPENCV @ rotation
            name = layout.lab_name(layout.lab_index(subject, focal, view))
            in_metres = VIEW_TO_OPENCV @ person.offset(axes) + translation / person.scale
            path = f"facescape/data/lab_img/{name}.png"
            rows.append(perspective_truth(path, person.truth(), person.head_pose(axes), K, in_metres))
    return rows


def _lab_camera(K: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> PinholeCamera:
    """A camera of the lab (`mfnet.datasets.facescape.lab_camera`) as a float32 batch of one; mm."""
    size, distance = layout.IMAGE_SIZE, translation[2]
    return PinholeCamera(_row(K), _row(rotation), _row(translation), size, size, 0.3 * distance, 2 * distance)


def _photograph(
    flame: Flame, clip: Tensor, depth: Tensor, texture: Tensor, normals: Tensor, light: Tensor, background: Tensor
) -> Tensor:
    """One photograph [1, 3, 256, 256] in 0..1 in front of a background of the same shape."""
    side = SUPERSAMPLE * layout.IMAGE_SIZE
    colours, cover = develop(draw(flame, clip, depth, texture, normals, (side, side)), light[:, None], SUPERSAMPLE)
    return (colours[:, 0] + (1 - cover) * background).clamp(0, 1)


def _uint8(image: Tensor) -> np.ndarray:
    """[1, 3, H, W] in 0..1 -> [H, W, 3] uint8."""
    return to_uint8(image[0].permute(1, 2, 0)).numpy()


def _row(values: ArrayLike) -> Tensor:
    """A float32 batch of one."""
    return torch.as_tensor(np.asarray(values, dtype=np.float32))[None]
