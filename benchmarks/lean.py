"""By how much fitted shapes lean to the mean head: slopes of recovered against true shapes on synthetic people.

    python -m benchmarks.lean --people 40 [--points 478]

People are drawn from the shipped head's own statistics and seen from `VIEWS`; their landmarks are the head's own, off
by independent normal errors of `mfnet.fitting.noise.SIGMAS`, their 478 points by the head's own table. The fit starts
at the mean head and knows nothing else. A slope is sum(found * true) / sum(true * true) over all people: 1 where
shapes are recovered, 0 where everybody gets the mean head. It is taken over shape coefficients, and over what the
face's vertices are away from the mean head's after the best turn, shift and scale.
"""

import argparse

import torch
from torch import Tensor

from mfnet.api import shipped_head
from mfnet.fitting.candidates import Candidates
from mfnet.fitting.evidence import mesh_points, projected_mesh
from mfnet.fitting.noise import TOGETHER, landmark_noise
from mfnet.fitting.person import FitChoices, Measured, fit_person
from mfnet.fitting.start import yaws
from mfnet.flame import Flame
from mfnet.model.mfnet import white_light
from mfnet.model.parameters import Person, Prediction, View
from mfnet.model.projection import decode
from mfnet.profiles import load_profile

VIEWS = {1: (0.0,), 3: (0.0, -35.0, 35.0)}
"""Yaw of the photographs, degrees."""
DETECTOR = "mediapipe"
SCALE, DISTANCE = 8.5, 0.6
"""Of the cameras, 1/m and m."""
EXPRESSION = 0.3
"""Standard deviation of the expression coefficients: photographs of people who keep still."""
GROUPS = {"coefficients 1 to 10": slice(0, 10), "coefficients 11 to 30": slice(10, 30), "the others": slice(30, None)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--points", choices=("68", "478"), default="68", help="what fits are made to")
    args = parser.parse_args()
    torch.set_num_threads(1)
    flame, settings = shipped_head(), load_profile("embedded").refine
    for angles in VIEWS.values():
        draw = torch.Generator().manual_seed(args.seed)
        true, found = [], []
        for _ in range(args.people):
            person = random_person(flame, angles, draw)
            landmarks = noisy_landmarks(flame, person, settings, draw)
            mesh = noisy_mesh(flame, person, draw) if args.points == "478" else None
            measured = Measured(torch.zeros(len(angles), 3, 8, 8), landmarks, DETECTOR, mesh)
            fit = fit_person(flame, measured, None, None, settings, FitChoices(points=args.points))
            true.append(person.person.shape[0])
            found.append(fit.prediction.person.shape[0])
        print_slopes(flame, len(angles), torch.stack(true), torch.stack(found))


def random_person(flame: Flame, angles: tuple[float, ...], draw: torch.Generator) -> Prediction:
    """Somebody in views at `angles`, each a few degrees off."""
    views = len(angles)
    shape, expression = (torch.randn(1, count, generator=draw) for count in (flame.n_shape, flame.n_expression))
    turn = torch.deg2rad(torch.tensor(angles)[:, None] * torch.tensor([0.0, 1, 0]))
    pose = turn + 0.05 * torch.randn(views, 3, generator=draw)
    camera = torch.tensor([SCALE, 0.0, 0.0]).expand(views, 3)
    view = View(
        pose, camera, torch.full((views,), 1 / DISTANCE), torch.zeros(views, 0), white_light().repeat(views, 1, 1)
    )
    person = Person(shape, EXPRESSION * expression, torch.zeros(1, 3))
    return Prediction(person, view.map(lambda value: value[None]))


def noisy_landmarks(flame: Flame, person: Prediction, settings, draw: torch.Generator) -> Tensor:
    """[V, 68, 2] ndc."""
    landmarks = decode(flame, person).landmarks[0]
    sigma = landmark_noise(DETECTOR, yaws(person), settings).points / TOGETHER
    return landmarks + sigma[..., None] * torch.randn(landmarks.shape, generator=draw)


def noisy_mesh(flame: Flame, person: Prediction, draw: torch.Generator) -> Tensor:
    """[V, 478, 2] ndc."""
    true = projected_mesh(flame, Candidates.of(flame, person))[0]
    believed = mesh_points(flame, true, yaws(person))
    assert believed is not None
    return true + believed.sigma[..., None] / TOGETHER * torch.randn(true.shape, generator=draw)


def print_slopes(flame: Flame, views: int, true: Tensor, found: Tensor) -> None:
    seen = f"{views} view{'s' * (views > 1)}"
    rows = {name: (true[:, part], found[:, part]) for name, part in GROUPS.items()}
    mean = faces(flame, torch.zeros(1, flame.n_shape))
    away, fitted = (aligned(faces(flame, shape), mean) - mean for shape in (true, found))
    rows["the face's vertices"] = away, fitted
    for name, (wanted, got) in rows.items():
        slope = float((wanted * got).sum() / wanted.square().sum())
        length = float((got.square().sum() / wanted.square().sum()).sqrt())
        print(f"{seen}: {name}: slope {slope:.2f}; length of what is found {length:.2f} of the true")
    apart, off = (1000 * float(distance.norm(dim=-1).mean()) for distance in (away, fitted - away))
    print(f"{seen}: faces are {apart:.2f} mm from the mean head, fits {off:.2f} mm from the faces")


def faces(flame: Flame, shape: Tensor) -> Tensor:
    """[N, M, 3] vertices of the face, metres, at rest."""
    none = torch.zeros(len(shape), flame.n_expression), torch.zeros(len(shape), 3)
    return flame(shape, *none).vertices[:, flame.masks["face"]]


def aligned(points: Tensor, onto: Tensor) -> Tensor:
    """Points [N, M, 3] after the similarity that brings them nearest to `onto` [1, M, 3] (Umeyama 1991)."""
    a, b = points - points.mean(1, keepdim=True), onto - onto.mean(1, keepdim=True)
    u, s, v = torch.linalg.svd(a.mT @ b)
    signs = torch.ones_like(s)
    signs[:, 2] = torch.sign(torch.linalg.det(u @ v))
    scale = (s * signs).sum(1) / a.square().sum((1, 2))
    return scale[:, None, None] * (a @ (u * signs[:, None]) @ v) + onto.mean(1, keepdim=True)


if __name__ == "__main__":
    main()
