"""Archives of calibrated multi-view sets, made in their formats from drawn people: NeRSemble, Multiface, FaceScape."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from mfnet.datasets.plan import SLOTS, plan_triplets
from mfnet.flame import Flame
from mfnet.geometry import PinholeCamera, euler_to_matrix, matrix_to_axis_angle, vertex_normals
from mfnet.geometry.conventions import VIEW_TO_OPENCV, about_x, about_y, about_z
from mfnet.io.cameras import CalibratedCamera
from mfnet.render import perspective_view
from mfnet.synthetic.atlas import HeadAtlas
from mfnet.synthetic.lights import multipie_light
from mfnet.synthetic.photo import develop, draw
from mfnet.synthetic.subjects import paint_subject, random_subject
from tests.heads import open_flame
from tests.settings import EMBEDDED, having

WIDTH, HEIGHT = 300, 360
FOCAL = 900.0
"""Pixels: a face at a metre is some 130 px high."""
PLACES = ((0, 0), (-45, 2), (-22, -3), (24, 3), (46, -2), (-35, 45), (30, -18))
"""Yaw and elevation, degrees, of each camera; the first one stands before the face, the sixth far above."""
WORLD = about_z(0.4) @ about_x(1.1) @ about_y(2.0)
"""From head space to the world, whose axes mean nothing."""
ORIGIN = np.array([0.3, -1.2, 0.7])
"""Metres, of the head space in the world."""
SUBJECTS = ("017", "030", "110", "201")
RECONSTRUCTION = 0.37
"""Metres in a unit of FaceScape's world."""
Spoil = Callable[[list[CalibratedCamera]], list[CalibratedCamera]]


def rig(seed: int = 0) -> list[CalibratedCamera]:
    """Seven cameras in metres, aimed at the head by hand: centimetres beside it, a little rolled, no two alike."""
    rng = np.random.default_rng(seed)
    cameras = []
    for number, (yaw, elevation) in enumerate(PLACES):
        view = about_z(rng.normal(0, 0.03)) @ about_x(np.radians(elevation)) @ about_y(np.radians(yaw))
        aim = rng.normal(0, 0.015, 2)
        K = np.array([[FOCAL, 0, WIDTH / 2 + 3], [0, FOCAL, HEIGHT / 2 - 2], [0, 0, 1]])
        R = VIEW_TO_OPENCV @ view @ WORLD.T
        t = np.array([*aim, rng.uniform(0.95, 1.1)]) - R @ ORIGIN
        cameras.append(CalibratedCamera(f"2222000{number:02d}", K, R, t, WIDTH, HEIGHT, "m"))
    return cameras


@dataclass(frozen=True)
class Sitting:
    """A person before the rig."""

    vertices: torch.Tensor
    """[1, V, 3] metres, world."""
    landmarks: np.ndarray
    """[68, 3] metres, world, the contour as the frontal camera sees it."""
    texture: torch.Tensor | None


@torch.no_grad()
def sitting(flame: Flame, seed: int, atlas: HeadAtlas | None = None) -> Sitting:
    """Person `seed`, the head a little turned and beside the middle; skin where there is an `atlas`."""
    rng = np.random.default_rng(seed)
    subject = random_subject(flame, (seed,), {})
    angles = torch.from_numpy(np.radians(rng.normal(0, (3.0, 4.0, 2.0))))
    pose = matrix_to_axis_angle(euler_to_matrix(*angles)[None].float())
    out = flame(torch.from_numpy(subject.shape)[None], torch.zeros(1, flame.n_expression), pose)
    middle = out.landmarks[:, 17:].mean(1, keepdim=True)
    seat = torch.from_numpy(rng.normal(0, 0.01, 3)).float() - middle

    def placed(points: torch.Tensor) -> torch.Tensor:
        return ((points + seat).double() @ torch.from_numpy(WORLD.T) + torch.from_numpy(ORIGIN)).float()

    texture = None if atlas is None else paint_subject(atlas, subject)
    return Sitting(placed(out.vertices), placed(out.landmarks)[0].double().numpy(), texture)


@torch.no_grad()
def photograph(flame: Flame, person: Sitting, camera: CalibratedCamera, seed: int) -> np.ndarray:
    """RGB uint8 [H, W, 3] of a drawn person before a grey wall, lit from the front."""
    assert person.texture is not None
    pinhole = PinholeCamera.calibrated([camera], 0.3, 3.0)
    pinhole = pinhole._replace(K=pinhole.K.float(), R=pinhole.R.float(), t=pinhole.t.float())
    view = perspective_view(person.vertices, flame.faces, pinhole)
    normals = vertex_normals(person.vertices, flame.faces) @ torch.from_numpy(WORLD).float()  # in head space
    drawing = draw(flame, view.clip, -view.distance, person.texture, normals, (2 * HEIGHT, 2 * WIDTH))
    light = torch.from_numpy(multipie_light(7).astype(np.float32))[None, None]
    colours, cover = develop(drawing, light, 2)
    image = 255 * (colours[0, 0] + (1 - cover[0]) * 0.45).permute(1, 2, 0).numpy()
    return np.clip(image + np.random.default_rng(seed).normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)


def seen_landmarks(person: Sitting, camera: CalibratedCamera, noise: float, seed: int) -> np.ndarray:
    """The 68 points [68, 2], px, as a detector with some noise (px) would find them."""
    return camera.project(person.landmarks)[0] + np.random.default_rng(seed).normal(0, noise, (68, 2))


# ------------------------------------------------------------------------------------------------------------- layouts
def written(camera: CalibratedCamera) -> tuple[list, list]:
    """K with OpenCV's pixels and [R | t], as files have them."""
    K = camera.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    return K.tolist(), np.column_stack([camera.R, camera.t]).tolist()


def write_calibration(layout: str, root: Path, subject: str, cameras: list[CalibratedCamera]) -> None:
    """The calibration of one subject's capture; cameras in metres."""
    if layout == "nersemble":
        poses = {camera.name: [*written(camera)[1], [0.0, 0.0, 0.0, 1.0]] for camera in cameras}
        content = {"intrinsics": written(cameras[0])[0], "world_2_cam": poses, "width": WIDTH, "height": HEIGHT}
        _write(root / subject / "calibration" / "camera_params.json", json.dumps(content))
    elif layout == "multiface":
        lines = []
        for camera in cameras:
            K, pose = written(replace(camera, t=1000 * camera.t))
            rows = [*K, [0.0] * 5, *pose]
            lines += [camera.name, *(" ".join(f"{value:.9f}" for value in row) for row in rows), ""]
        _write(capture_folder(layout, root, subject) / "KRT", "\n".join(lines) + "\n")
    else:
        content = {}
        for camera in cameras:
            K, pose = written(replace(camera, t=camera.t / RECONSTRUCTION))
            values = {"K": K, "Rt": pose, "distortion": camera.distortion.tolist(), "width": WIDTH, "height": HEIGHT}
            content |= {f"{int(camera.name[-2:])}_{key}": value for key, value in values.items()}
            content |= {f"{int(camera.name[-2:])}_valid": True}
        _write(capture_folder(layout, root, subject) / "params.json", json.dumps(content))


def capture_folder(layout: str, root: Path, subject: str) -> Path:
    """The folder of one subject's capture."""
    names = {
        "nersemble": subject,
        "multiface": f"m--20180227--0000--{subject}--GHS",
        "facescape": f"{int(subject)}/1_neutral",
    }
    return root / names[layout]


def image_file(layout: str, root: Path, subject: str, camera: str) -> Path:
    """Where one camera's photograph lies."""
    folder = capture_folder(layout, root, subject)
    return {
        "nersemble": folder / "sequences" / "EXP-1-head" / "images" / f"cam_{camera}_00012.jpg",
        "multiface": folder / "images" / "E001_Neutral_Eyes_Open" / camera / "000150.png",
        "facescape": folder / f"{int(camera[-2:])}.jpg",
    }[layout]


def write_archive(
    root: Path,
    layout: str,
    draw_image: Callable[[int, CalibratedCamera], np.ndarray] | None = None,
    spoil: Spoil = lambda cameras: cameras,
    subjects: tuple[str, ...] = SUBJECTS,
) -> Path:
    """An archive of `subjects` before `rig()`.

    draw_image: (number of the subject, camera) -> its photograph; None: noise of the right size. spoil: what is done to
    the cameras before they are written.
    """
    for number, subject in enumerate(subjects):
        for index, camera in enumerate(rig()):
            path = image_file(layout, root, subject, camera.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if draw_image is None:
                blocks = np.random.default_rng([number, index]).integers(0, 255, (6, 5, 3), dtype=np.uint8)
                image = np.kron(blocks, np.ones((60, 60, 1), np.uint8))
            else:
                image = draw_image(number, camera)
            Image.fromarray(image).save(path, quality=95)
        write_calibration(layout, root, subject, spoil(rig()))
    return root


# ------------------------------------------------------------------------------------------------ plans and landmarks
def plan_of(manifest: pd.DataFrame) -> pd.DataFrame:
    """All triplets of an archive of `SUBJECTS`, one of whom is held out."""
    return plan_triplets(manifest, having(EMBEDDED.plan, triplets=16, reserve=0.0, validation_share=0.25))


@cache
def sitter(number: int) -> Sitting:
    """Who subject `number` of an archive is."""
    return sitting(open_flame(), number)


def detected(plan: pd.DataFrame, noise: float = 1.0) -> pd.DataFrame:
    """Landmarks of every planned image as a detector with some noise (px) finds them."""
    cameras = {camera.name[-2:]: camera for camera in rig()}
    numbers = {int(subject): number for number, subject in enumerate(SUBJECTS)}
    slots = [
        plan[[slot, "subject", f"camera_{slot}"]].set_axis(["path", "subject", "camera"], axis=1) for slot in SLOTS
    ]
    images = pd.concat(slots).drop_duplicates("path").sort_values("path", ignore_index=True)
    points = [
        seen_landmarks(sitter(numbers[int(row.subject)]), cameras[f"{int(row.camera) % 100:02d}"], noise, seed)
        for seed, row in enumerate(images.itertuples())
    ]
    return pd.DataFrame({"path": images["path"], "landmarks": [each.astype(np.float32).ravel() for each in points]})


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
