"""The virtual photo sessions in Multi-PIE's layout: subjects, sessions, recordings, 15 cameras, illuminations."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mfnet.datasets.multipie import EXPRESSIONS, HEIGHT, WIDTH, image_path
from mfnet.flame import Flame, FlameOutput
from mfnet.flame.population import Ranges
from mfnet.geometry import euler_to_matrix, matrix_to_axis_angle, project_perspective, vertex_normals
from mfnet.geometry.conventions import VIEW_TO_OPENCV
from mfnet.io.files import atomic_path
from mfnet.io.images import write_png
from mfnet.render import perspective_view
from mfnet.synthetic.atlas import HeadAtlas
from mfnet.synthetic.capture.expressions import expression_coefficients
from mfnet.synthetic.capture.rig import RigCamera, rig_cameras
from mfnet.synthetic.capture.truth import TruePerson, perspective_truth
from mfnet.synthetic.lights import multipie_light
from mfnet.synthetic.photo import develop, draw, shade_normals
from mfnet.synthetic.subjects import Subject, decode, expression_scale, paint_subject, random_subject

SUPERSAMPLE = 2
TEXTURE_SIZE = 512
MARGIN = 4
"""Pixels drawn around the head's outline."""
FEET = 0.212
"""Metres from the aim of the cameras down to the head model's lowest point: just below the image."""
GRAIN = 0.8
"""Standard deviation of the sensor's noise on the head, grey levels; the wall has none, so that it compresses."""
WALL = np.array([118.0, 124.0, 130.0])
STRAY_FILE = "session{session:02d}/multiview/Thumbs.db"


@dataclass(frozen=True)
class CapturePlan:
    """What is photographed of every subject."""

    recordings: list[tuple[int, int]]
    """(session, recording), at least one."""
    illuminations: list[int]
    """Flash numbers, at least one."""
    seed: int
    population: Ranges
    """Attribute -> least and most of the subjects'."""


class Recording:
    """One subject in one (session, recording): the posed head in rig axes and everything that stays between flashes."""

    def __init__(self, flame: Flame, subject: Subject, session: int, recording: int, seed: tuple[int, ...]) -> None:
        rng = np.random.default_rng(seed)
        coefficients, jaw = expression_coefficients(flame, EXPRESSIONS[session, recording])
        own = 0.3 * expression_scale(flame) * rng.standard_normal(flame.n_expression)
        self.attributes = subject.attributes
        self.shape = torch.from_numpy(subject.shape)[None]
        self.expression = torch.from_numpy((rng.uniform(0.75, 1.1) * coefficients + own).astype(np.float32))[None]
        self.jaw_pose = torch.from_numpy((rng.uniform(0.8, 1.1) * jaw).astype(np.float32))[None]
        angles = torch.from_numpy(np.radians(rng.normal(0, (3.0, 4.0, 2.0))))
        self.turn = euler_to_matrix(*angles)[None].float()
        self.out: FlameOutput = flame(
            self.shape, self.expression, matrix_to_axis_angle(self.turn), jaw_pose=self.jaw_pose
        )
        self.seat = torch.from_numpy(rng.normal(0, (0.008, 0.004, 0.010)).astype(np.float32))
        template = decode(flame, torch.zeros(1, flame.n_shape), torch.zeros(1, flame.n_expression))
        self.seat[1] -= template[..., 1].min() + FEET
        self.vertices = self.out.vertices + self.seat
        self.normals = vertex_normals(self.vertices, flame.faces)
        self.grain = (GRAIN * rng.standard_normal((HEIGHT, WIDTH, 3))).astype(np.float32)


@torch.no_grad()
def write_subject(flame: Flame, atlas: HeadAtlas, root: Path, number: int, plan: CapturePlan) -> list[dict]:
    """Photograph subject `number` in all its recordings below `root`; the rows of truth.parquet, in path order."""
    subject = random_subject(flame, (plan.seed, 1, number), plan.population)
    texture = paint_subject(atlas, subject)
    rows = []
    for session, recording_number in plan.recordings:
        recording = Recording(
            flame, subject, session, recording_number, (plan.seed, 2, number, session, recording_number)
        )
        light = torch.from_numpy(np.stack([multipie_light(i) for i in plan.illuminations]).astype(np.float32))
        for camera in rig_cameras():
            images = photograph(flame, recording, camera, texture, light)
            for illumination, image in zip(plan.illuminations, images, strict=True):
                path = image_path(f"{number:03d}", session, recording_number, camera.name, illumination)
                write_png(image, Path(root) / path, fast=True)
                rows.append(_truth(path, f"{number:03d}", recording, camera))
    return sorted(rows, key=lambda row: row["path"])


def photograph(
    flame: Flame, recording: Recording, rig_camera: RigCamera, texture: Tensor, light: Tensor
) -> list[np.ndarray]:
    """The recording seen by one camera under each light [L, 9, 3] (rig axes): RGB uint8 [480, 640, 3] each."""
    camera = rig_camera.pinhole()
    pixels, _ = project_perspective(recording.vertices, camera)
    left, top, right, bottom = _bounds(pixels[0])
    width, height = right - left, bottom - top
    view = perspective_view(recording.vertices, flame.faces, camera.cropped(left, top, width, height))
    size = SUPERSAMPLE * height, SUPERSAMPLE * width
    drawing = draw(flame, view.clip, -view.distance, texture, recording.normals, size)
    colours, cover = develop(drawing, light[None], SUPERSAMPLE)
    cover, colours = cover[0, 0, :, :, None].numpy(), 255 * colours[0].permute(0, 2, 3, 1).numpy()
    grain = recording.grain[top:bottom, left:right] * cover
    images = []
    brightness = shade_normals(torch.tensor([[0.0, 0.0, 1.0]]), light).mean((1, 2))  # of the wall, which faces the head
    for colour, level in zip(colours, brightness.tolist(), strict=True):
        image = wall(level)
        region = image[top:bottom, left:right]
        region[:] = (colour + (1 - cover) * region + grain).clip(0, 255) + 0.5
        images.append(image)
    return images


def wall(brightness: float) -> np.ndarray:
    """The wall behind the subject [480, 640, 3] uint8: darker downwards, brighter where the flashes are."""
    rows = np.linspace(1.1, 0.8, HEIGHT)[:, None] * WALL * (0.4 + 0.9 * brightness)
    return np.repeat((rows.clip(0, 255) + 0.5).astype(np.uint8)[:, None], WIDTH, 1)


def plant_faults(root: Path, numbers: list[int], plan: CapturePlan) -> None:
    """What real archives hold too: a truncated PNG, a picture of the bare wall, and a stray file.

    The truncated file is the last subject's at +75 degrees, the wall the first subject's at -45, which both shipped
    plans use.
    """
    (session, recording), illumination = plan.recordings[0], plan.illuminations[0]
    broken = root / image_path(f"{numbers[-1]:03d}", session, recording, "01_0", illumination)
    whole = broken.read_bytes()
    with atomic_path(broken) as beside:
        beside.write_bytes(whole[: len(whole) // 2])
    bare = root / image_path(f"{numbers[0]:03d}", session, recording, "08_0", illumination)
    write_png(wall(0.8), bare, fast=True)
    with atomic_path(root / STRAY_FILE.format(session=session)) as beside:
        beside.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504))


def _bounds(pixels: Tensor) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of the image that shows the head."""
    low = pixels.amin(0).floor().long() - MARGIN
    high = pixels.amax(0).ceil().long() + MARGIN
    left, top = low.clamp_min(0).tolist()
    return left, top, min(int(high[0]), WIDTH), min(int(high[1]), HEIGHT)


def _truth(path: str, subject: str, recording: Recording, camera: RigCamera) -> dict:
    """The true parameters in this camera's view axes."""
    view = torch.from_numpy(camera.view).float()
    root_joint = recording.out.joints[0, 0]
    # FLAME turns about its root joint: view (vertices + seat) = vertices of the turned pose + this.
    offset = view @ (root_joint + recording.seat) - root_joint
    translation = VIEW_TO_OPENCV @ offset.double().numpy() + camera.translation
    pose = matrix_to_axis_angle(view @ recording.turn[0])
    person = TruePerson(subject, recording.attributes, recording.shape, recording.expression, recording.jaw_pose)
    return perspective_truth(path, person, pose, camera.intrinsics, translation)
