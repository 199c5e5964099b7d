"""Faces in photographs: where they are, which way up, how many, and that there is none where there is none."""

import cv2
import numpy as np
import pytest

from mfnet.landmarks.mediapipe.faces import FoundFace, find_faces
from mfnet.landmarks.mediapipe.ibug68 import ibug68

pytestmark = pytest.mark.usefixtures("face_assets")

SEEN = {36: (194.5, 100), 39: (214, 103.5), 42: (237, 105), 45: (256, 104), 30: (223, 128), 48: (202, 139)}
SEEN |= {54: (246, 140), 8: (222, 179), 21: (216, 92), 22: (235, 93)}
"""Points of the astronaut, taken from the photograph by eye, px."""
BESIDE = 330
"""A column of the photograph right of her head."""


def points(image: np.ndarray) -> np.ndarray:
    """iBUG's points [68, 2] of the largest face."""
    return largest(image)[:, :2]


def largest(image: np.ndarray) -> np.ndarray:
    return ibug68(find_faces(image)[0].mesh.points)


def eyes_apart(found: np.ndarray) -> float:
    return float(np.linalg.norm(found[36] - found[45]))


def moved(found: np.ndarray, expected: np.ndarray) -> float:
    """Mean distance as a share of the distance of the eyes."""
    return float(np.linalg.norm(found - expected, axis=1).mean() / eyes_apart(expected))


@pytest.fixture(scope="module")
def upright(astronaut):
    return points(astronaut)


def test_points_lie_where_one_sees_them(upright):
    for index, place in SEEN.items():
        assert np.linalg.norm(upright[index] - place) < 4, index  # the eyes are 61 px apart


@pytest.mark.parametrize("degrees", [-150, -90, -45, 20, 90, 135, 180])
def test_a_turned_photograph_has_its_points_turned(astronaut, upright, degrees):
    matrix = cv2.getRotationMatrix2D((255.5, 255.5), degrees, 1.0)
    turned = cv2.warpAffine(astronaut, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    expected = (upright - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    assert moved(points(turned), expected) < 0.03


@pytest.mark.parametrize("scale", [1 / 3, 0.5, 3.3])
def test_points_scale_with_the_photograph(astronaut, upright, scale):
    size = round(512 * scale)
    scaled = cv2.resize(astronaut, (size, size), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    assert moved(points(scaled), upright * size / 512) < 0.03


def test_the_mirror_image_has_the_mirrored_points(astronaut, upright):
    from mfnet.landmarks.ibug import MIRRORED

    found = points(np.ascontiguousarray(astronaut[:, ::-1]))
    assert moved(found[MIRRORED] * [-1, 1] + [512, 0], upright) < 0.03


def test_a_small_face_in_a_large_photograph_is_found(astronaut, upright):
    """100 px of 1600 is too little for the detectors' view of the whole."""
    image = np.full((1000, 1600, 3), 120, np.uint8)
    image[700:956, 1200:1456] = cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA)
    assert moved(points(image), upright / 2 + [1200, 700]) < 0.05


def test_grey_and_dark_photographs_are_photographs(astronaut, upright):
    grey = np.repeat(cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    assert moved(points(grey), upright) < 0.03
    assert moved(points((astronaut * 0.25).astype(np.uint8)), upright) < 0.05


def test_of_two_faces_the_larger_comes_first(astronaut, upright):
    both = np.full((512, BESIDE + 400, 3), 200, np.uint8)
    both[:, :BESIDE] = astronaut[:, :BESIDE]
    small = cv2.resize(astronaut[:, :BESIDE], None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    both[100 : 100 + len(small), BESIDE + 100 : BESIDE + 100 + small.shape[1]] = small
    for image, expected in ((both, upright), (both[:, ::-1], (both.shape[1], 0) + upright * [-1, 1])):
        faces = find_faces(np.ascontiguousarray(image))
        assert len(faces) == 2 and faces[0].mesh.side > 1.4 * faces[1].mesh.side
        assert np.linalg.norm(faces[0].mesh.points[:, :2].mean(axis=0) - expected.mean(axis=0)) < 10


@pytest.mark.parametrize("name", ["rocket", "coffee", "chelsea", "coins", "grass"])
def test_what_is_no_face_has_none(astronaut, name):
    """A landscape with sky, a table, a cat, portraits on coins, texture."""
    from skimage import data

    image = getattr(data, name)()
    assert not find_faces(np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (5, 3), (300, 200)])
@pytest.mark.parametrize("value", [0, 255])
def test_an_empty_image_of_any_shape_has_no_face(shape, value):
    assert not find_faces(np.full((*shape, 3), value, np.uint8))


def test_a_face_at_the_border_stays_where_it_is(astronaut, upright):
    cut = np.ascontiguousarray(astronaut[60:, 150:])
    assert moved(points(cut), upright - [150, 60]) < 0.06


def test_presence_is_a_probability_and_depth_is_nearest_at_the_nose(astronaut):
    (face,) = find_faces(astronaut)
    assert isinstance(face, FoundFace) and 0.9 < face.mesh.presence <= 1 and 0.5 <= face.box.score <= 1
    assert face.mesh.points.shape == (478, 3) and face.mesh.points[:, 2].argmin() in (1, 4, 44, 274)
