"""The person is told from the wall."""

import cv2
import numpy as np

from mfnet.texturing.foreground import extended, foreground

SKIN, WALL, SHIRT = (200, 150, 120), (90, 140, 200), (250, 250, 250)
SIZE = 256


def picture() -> tuple[np.ndarray, np.ndarray]:
    """A disc of skin before a wall, with noise; and where the skin is."""
    person = np.zeros((SIZE, SIZE), np.uint8)
    cv2.circle(person, (128, 128), 60, 1, -1)
    image = np.where(person[..., None] > 0, SKIN, WALL).astype(np.float64)
    noise = np.random.default_rng(0).normal(0, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), person > 0


def disc(radius: int, x: int = 128) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.circle(mask, (x, 128), radius, 1, -1)
    return mask > 0


ALL = np.ones((SIZE, SIZE), bool)


def test_a_head_drawn_too_large_or_aside_gets_no_wall():
    image, person = picture()
    for drawn in (disc(68), disc(60, 133)):
        found = foreground(image, drawn, drawn, ALL) > 0.5
        assert not (found & ~person).any()
        assert (found & person).sum() > 0.85 * person.sum()


def test_a_collar_over_the_neck_is_left_out():
    """The lower half of the drawn head is its neck, and a shirt that goes on beyond it covers that."""
    image, _ = picture()
    image[150:] = SHIRT
    face = disc(60)
    face[145:] = False
    found = foreground(image, disc(60), face, ALL) > 0.5
    assert found[100, 128] and not found[155:].any()


def test_beyond_the_borders_there_is_no_person():
    image, _ = picture()
    inside = ALL.copy()
    inside[:, :100] = False
    image[:, :100] = 0
    found = foreground(image, disc(60), disc(60), inside)
    assert not found[:, :100].any() and found[128, 140] == 1
    assert (extended(image, inside)[:, :100] == image[:, 100:101]).all()


def test_without_a_background_all_is_the_person():
    image, _ = picture()
    found = foreground(image, ALL, ALL, ALL)
    assert found[10:-10, 10:-10].all()
