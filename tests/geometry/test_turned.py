"""Turned crops are pictures of the cameras that come with them."""

import cv2
import numpy as np
import pytest

from mfnet.errors import InputError
from mfnet.geometry import CropBox
from mfnet.geometry.turned import cut_turned_face, turned_camera, warp
from tests.calibrated import HEIGHT, ORIGIN, WIDTH, WORLD, rig

BOX = CropBox(90.0, 240.0, 170.0)
POINTS = np.random.default_rng(0).normal(0, 0.05, (68, 3)) @ WORLD.T + ORIGIN


@pytest.mark.parametrize("camera", rig(), ids=lambda camera: camera.name)
def test_landmarks_of_the_crop_are_where_its_camera_sees_them(camera):
    pixels = camera.project(POINTS)[0]
    crop, turned = cut_turned_face(np.zeros((HEIGHT, WIDTH, 3), np.uint8), pixels, BOX, 96, camera)
    seen = turned.project(POINTS)[0] * [2 / 96, -2 / 96] + [-1, 1]
    assert np.abs(crop.landmarks - seen).max() < 1e-9
    assert np.allclose(turned.centre, camera.centre) and np.linalg.det(turned.R) == pytest.approx(1)
    assert turned.K[0, 0] == turned.K[1, 1] and np.allclose(turned.K[:2, 2], 48)


def test_the_middle_of_the_box_is_the_middle_of_the_crop_and_fills_it():
    crop, turned = cut_turned_face(np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((68, 2), 100.0), BOX, 96, rig()[2])
    half = BOX.side / 2
    corners = np.array([[BOX.centre_x + x, BOX.centre_y + y] for x in (-half, half) for y in (-half, half)])
    centred = np.vstack([corners, [[BOX.centre_x, BOX.centre_y]]]) @ crop.matrix[:, :2].T + crop.matrix[:, 2]
    centred = centred[:, :2] / centred[:, 2:]
    assert np.allclose(centred[4], 48) and np.abs(np.ptp(centred[:4], axis=0) - 96).max() < 3
    assert turned.width == 96


@pytest.mark.parametrize("factor", [1, 3])
def test_pixels_move_with_the_matrix(factor):
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    cv2.circle(image, (120, 230), 9, (255, 255, 255), -1)
    camera = rig()[1]
    turned = turned_camera(camera, BOX, 96)
    matrix = turned.K @ turned.R @ camera.R.T @ np.linalg.inv(camera.K)
    cut = warp(image, matrix, 96, factor)[..., 0].astype(float)
    rows, columns = np.indices(cut.shape) + 0.5
    middle = np.array([(columns * cut).sum(), (rows * cut).sum()]) / cut.sum()
    expected = matrix @ [120.5, 230.5, 1]
    assert np.abs(middle - expected[:2] / expected[2]).max() < 0.2


def test_a_box_beside_the_photograph_is_refused():
    with pytest.raises(InputError, match="does not fit"):
        cut_turned_face(np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((68, 2)), CropBox(-300, 0, 90), 96, rig()[0])
