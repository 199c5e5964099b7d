import tracemalloc

import numpy as np
import pytest
import torch

from mfnet.errors import InputError
from mfnet.geometry import (
    CropBox,
    crop_box,
    crop_face,
    crop_image,
    crop_matrix,
    cut_face,
    ndc_to_pixels,
    transform_points,
)


def ramp(height, width):
    """An image whose red is x and green y of the pixel's centre, blue constant."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x, y, np.full_like(x, 77)], -1)


def test_box_encloses_the_landmarks():
    landmarks = np.array([[10.0, 20], [50, 40], [30, 90]])
    assert crop_box(landmarks, 1.5) == CropBox(30.0, 55.0, 105.0)


@pytest.mark.parametrize("landmarks", [[[1.0, 2], [np.nan, 3]], [[4.0, 4], [4, 4]]])
def test_box_refuses_landmarks_without_extent(landmarks):
    with pytest.raises(InputError, match="landmarks"):
        crop_box(np.array(landmarks), 1.2)


def test_whole_image_at_its_own_size_is_the_image():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert np.array_equal(crop_image(image, CropBox(32, 32, 64), 64), image)


@pytest.mark.parametrize("box", [CropBox(60.3, 50.7, 40.0), CropBox(60, 50, 90), CropBox(61.2, 49.9, 77.7)])
def test_pixels_move_as_the_matrix_says(box):
    size = 32
    crop = crop_image((2 * ramp(100, 120)).astype(np.uint8), box, size)
    inverse = np.linalg.inv(crop_matrix(box, size))
    centres = transform_points(ramp(size, size)[..., :2].reshape(-1, 2), inverse).reshape(size, size, 2)
    difference = crop[..., :2] - 2 * centres  # in grey levels, two a pixel
    assert np.abs(difference).max() < 1.01
    assert np.abs(difference.mean()) < 0.3


def test_outside_is_black():
    crop = crop_image(np.full((50, 50, 3), 200, np.uint8), CropBox(0, 0, 40), 20)
    assert crop[:9, :9].max() == 0
    assert crop[11:, 11:].min() == 200


def test_minification_does_not_alias():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 200
    crop = crop_image(stripes, CropBox(128, 128, 256), 32)
    assert np.abs(crop.astype(int) - 100).max() <= 1


def test_a_face_and_its_landmarks_are_cropped_alike():
    """Landmarks on bright pixels stay on them, and their own box is the one that `crop_face` takes."""
    landmarks = np.array([[30.5, 40.5], [70.5, 45.5], [50.5, 80.5]])
    image = np.zeros((100, 120, 3), np.uint8)
    for x, y in landmarks.astype(int):
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    box, size = CropBox(52.0, 61.0, 64.0), 128
    face = cut_face(image, landmarks, box, size)
    pixels = ndc_to_pixels(torch.from_numpy(face.landmarks), size, size).numpy()
    np.testing.assert_allclose(pixels, transform_points(landmarks, face.matrix))
    at = pixels.astype(int)
    assert face.image[at[:, 1], at[:, 0]].min() > 250 and face.image.mean() < 10
    own = crop_face(image, landmarks, 1.5, size)
    for part, same in zip(own, cut_face(image, landmarks, crop_box(landmarks, 1.5), size), strict=True):
        assert np.array_equal(part, same)


@pytest.mark.parametrize("angle", [0.3, -2.0, np.pi])
def test_a_turned_square_stands_upright_in_its_crop(angle):
    """Its upper edge is the crop's, and what is bright in the image is bright there."""
    box, size = CropBox(50.0, 60.0, 40.0, angle), 80
    along, down = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    corners = np.array([50.0, 60.0]) + 20 * np.stack([-along - down, along - down, along + down])
    matrix = crop_matrix(box, size)
    np.testing.assert_allclose(transform_points(corners, matrix), [[0, 0], [80, 0], [80, 80]], atol=1e-9)
    image = np.zeros((120, 120, 3), np.uint8)
    place = np.floor(np.array([50.0, 60.0]) + 9 * along - 5 * down).astype(int)
    image[place[1] - 1 : place[1] + 2, place[0] - 1 : place[0] + 2] = 255
    x, y = transform_points(place[None] + 0.5, matrix)[0].astype(int)
    crop = crop_image(image, box, size)
    assert crop[y, x].min() > 240 and crop.mean() < 10


def test_points_of_tensors_and_arrays_agree():
    matrix = crop_matrix(CropBox(3, 4, 10), 20)
    points = np.random.default_rng(1).normal(size=(5, 2))
    batch = transform_points(torch.from_numpy(points).expand(3, 5, 2), torch.from_numpy(matrix).expand(3, 3, 3))
    np.testing.assert_allclose(batch[2].numpy(), transform_points(points, matrix))


FACE = np.array([[30.0, 40], [70, 45], [50, 80]])


@pytest.mark.parametrize("landmarks", [1e5 * FACE, FACE + 1e7, FACE - [400, 0], FACE * [1, 1e4]])
def test_landmarks_that_do_not_fit_their_photograph_are_refused(landmarks):
    with pytest.raises(InputError, match="does not fit an image of 120 x 100 px"):
        crop_face(np.zeros((100, 120, 3), np.uint8), landmarks, 1.5, 64)


def test_memory_of_a_crop_does_not_grow_with_the_face():
    image = np.full((2000, 2000, 3), 90, np.uint8)
    tracemalloc.start()
    crop = crop_image(image, CropBox(1000, 1000, 18_000), 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6 and crop[32, 32].tolist() == [90] * 3 and crop[0, 0].max() == 0
