"""What stands behind and before a head in photographs: cluttered rooms, long hair, glasses, hands and other things."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from mfnet.geometry import ndc_to_pixels
from mfnet.landmarks.ibug import LEFT_EYE, RIGHT_EYE
from mfnet.synthetic.traits import FAIR_HAIR, HAIR

SHAPES = 24
"""Most things of a cluttered background."""
REACH = 0.35
"""How far an occluder reaches into the face, at most: share of the crop's side."""
SKIN = np.array([0.72, 0.53, 0.44])
"""RGB of a fair hand; darker ones are shades of it."""


def cluttered_backgrounds(rng: np.random.Generator, plain: Tensor, share: float) -> Tensor:
    """Backgrounds [B, 3, S, S] in 0..1, a `share` of them strewn with things of any colour, blurred as by a lens."""
    images = _to_numpy(plain)
    for image in images:
        if rng.random() >= share:
            continue
        for _ in range(rng.integers(4, SHAPES)):
            _polygon(rng, image, rng.uniform(0, 1, 2), rng.uniform(0.05, 0.4), _colour(rng))
        cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 2.0), dst=image)
    return _to_torch(images)


def long_hair(rng: np.random.Generator, colour: Tensor, cover: Tensor, background: Tensor, share: float) -> Tensor:
    """Backgrounds [B, 3, S, S], a `share` of them with long hair that falls behind the head under `cover` [B, 1, S, S].

    It is as bright as the head of that `colour`, a little wider than the head, and ends anywhere below it.
    """
    size, tones = cover.shape[-1], list((HAIR | FAIR_HAIR).values())
    result = background.clone()
    for index in np.flatnonzero(rng.random(len(cover)) < share):
        head = cover[index]
        brightness = 2 * colour[index].sum() / (3 * head.sum()).clamp_min(1)
        tint = brightness * torch.tensor(tones[rng.integers(len(tones))])
        wide = 2 * int(rng.integers(1, max(2, size // 12))) + 1
        spread = torch.nn.functional.max_pool2d(head[None], wide, 1, wide // 2)[0]
        falling = spread.cummax(1).values
        falling[:, int(rng.uniform(0.6, 1.2) * size) :] = 0
        strands = torch.from_numpy(rng.standard_normal((1, 1, 2 + size // 16, size), dtype=np.float32))
        strands = torch.nn.functional.interpolate(strands, (size, size), mode="bilinear", align_corners=True)[0]
        hair = tint[:, None, None] * (0.8 + 0.2 * strands).clamp(0.3, 1.4)
        result[index] = torch.lerp(background[index], hair.clamp(0, 1), falling)
    return result


def occlude(rng: np.random.Generator, images: Tensor, landmarks: Tensor, share: float) -> Tensor:
    """Images [B, 3, S, S] in 0..1, a `share` of them with glasses, or with a hand or a thing before a part of the face.

    landmarks [B, 68, 2]: ndc.
    """
    pixels, size = _to_numpy(images), images.shape[-1]
    points = ndc_to_pixels(landmarks, size, size).numpy().astype(np.float64)
    kinds: Sequence[Callable[[np.random.Generator, np.ndarray, np.ndarray], None]] = (_glasses, _hand, _thing)
    for image, face in zip(pixels, points, strict=True):
        if rng.random() < share:
            kinds[rng.integers(len(kinds))](rng, image, face)
    return _to_torch(pixels)


def _glasses(rng: np.random.Generator, image: np.ndarray, face: np.ndarray) -> None:
    """Frames around both eyes, joined over the bridge, with lenses from clear to dark."""
    colour, tint = rng.uniform(0, 0.5, 3), rng.uniform(0, 0.25, 3)
    thickness = max(1, round(len(image) * rng.uniform(0.006, 0.02)))
    lens = rng.choice([0.0, rng.uniform(0, 0.3), rng.uniform(0.5, 0.95)], p=[0.5, 0.3, 0.2])
    centres = [face[list(eye)].mean(0) for eye in (RIGHT_EYE, LEFT_EYE)]
    apart = np.linalg.norm(centres[1] - centres[0])
    height = apart * rng.uniform(0.25, 0.42)
    shaded = image.copy()
    for eye, centre in zip((RIGHT_EYE, LEFT_EYE), centres, strict=True):
        width = 0.5 * np.linalg.norm(np.ptp(face[list(eye)], axis=0)) * rng.uniform(1.5, 1.9)
        axes = round(width), round(height)
        cv2.ellipse(shaded, _pixel(centre), axes, 0, 0, 360, tint.tolist(), -1, cv2.LINE_AA)
        cv2.ellipse(image, _pixel(centre), axes, 0, 0, 360, colour.tolist(), thickness, cv2.LINE_AA)
    image[:] = (1 - lens) * image + lens * shaded
    cv2.line(
        image,
        _pixel(0.62 * centres[0] + 0.38 * centres[1]),
        _pixel(0.38 * centres[0] + 0.62 * centres[1]),
        colour.tolist(),
        thickness,
        cv2.LINE_AA,
    )


def _hand(rng: np.random.Generator, image: np.ndarray, face: np.ndarray) -> None:
    """Fingers from below or from a side, in a skin colour."""
    size, shade = len(image), rng.uniform(0.3, 1.1)
    goal = face[rng.integers(17)] + REACH * size * rng.uniform(0, 1) * _towards(face[rng.integers(17)], face[30])
    away = -_towards(goal, face[30]) * size
    across = np.array([-away[1], away[0]]) / size
    width = size * rng.uniform(0.035, 0.06)
    for finger in range(rng.integers(2, 5)):
        tip = goal + (finger - 1.5) * 1.1 * width * across + rng.normal(0, 0.02 * size, 2)
        colour = (shade * SKIN * rng.uniform(0.9, 1.05)).clip(0, 1)
        cv2.line(image, _pixel(tip), _pixel(tip + away), colour.tolist(), max(1, round(width)), cv2.LINE_AA)


def _thing(rng: np.random.Generator, image: np.ndarray, face: np.ndarray) -> None:
    """A flat thing over the edge of the face: a scarf, a telephone, somebody's shoulder."""
    size = len(image)
    rim = face[rng.integers(17)]
    centre = rim + size * rng.uniform(-0.1, 0.25) * -_towards(rim, face[30])
    _polygon(rng, image, centre / size, rng.uniform(0.1, REACH), _colour(rng))


def _polygon(
    rng: np.random.Generator, image: np.ndarray, centre: np.ndarray, radius: float, colour: np.ndarray
) -> None:
    """A filled polygon of any shape; centre and radius are shares of the side."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
    reach = radius * rng.uniform(0.4, 1.0, len(angles))
    corners = len(image) * (centre + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], -1))
    cv2.fillPoly(image, [np.rint(corners).astype(np.int32)], colour.tolist(), cv2.LINE_AA)


def _colour(rng: np.random.Generator) -> np.ndarray:
    """RGB [3], mostly dull, sometimes bright."""
    return (rng.uniform(0, 1) + rng.exponential(0.1) * rng.standard_normal(3)).clip(0, 1)


def _towards(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The unit vector [2] from one point to another."""
    return (end - start) / max(np.linalg.norm(end - start), 1e-6)


def _pixel(point: np.ndarray) -> tuple[int, int]:
    x, y = np.rint(point).astype(int).tolist()
    return x, y


def _to_numpy(images: Tensor) -> np.ndarray:
    """[B, S, S, 3], dense and its own."""
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy()).copy()


def _to_torch(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
