"""Anchors, and boxes that are of one face."""

import numpy as np

from mfnet.landmarks.mediapipe.detector import FULL_RANGE_GRID, SHORT_RANGE_GRID, FaceBox, anchors, merged, overlap


def box(x: float, y: float, side: float, score: float) -> FaceBox:
    corners = np.array([[x, y], [x + side, y + side]])
    points = np.repeat(corners.mean(axis=0)[None], 6, axis=0)
    points[1] += [3, 4]
    return FaceBox(corners, points, score)


def test_anchors_are_the_cells_centres_row_by_row():
    full, short = anchors(FULL_RANGE_GRID), anchors(SHORT_RANGE_GRID)
    assert full.shape == (2304, 2) and short.shape == (896, 2)
    np.testing.assert_allclose(full[:2] * 48, [[0.5, 0.5], [1.5, 0.5]])
    np.testing.assert_allclose(short[[0, 1, 2]] * 16, [[0.5, 0.5], [0.5, 0.5], [1.5, 0.5]])
    np.testing.assert_allclose(short[512:518] * 8, [[0.5, 0.5]] * 6)


def test_boxes_that_overlap_are_one_face_nearer_to_the_better_one():
    faces = merged([box(0, 0, 10, 0.6), box(1, 1, 10, 0.9), box(50, 0, 10, 0.7)])
    assert [face.score for face in faces] == [0.9, 0.7]
    np.testing.assert_allclose(faces[0].corners, [[0.6, 0.6], [10.6, 10.6]])


def test_overlap_is_one_for_the_same_box_and_nothing_for_another():
    a, b = box(0, 0, 10, 1).corners, box(5, 0, 10, 1).corners
    assert overlap(a, a) == 1 and overlap(a, b) == 50 / 150 and overlap(a, b + 20) == 0


def test_the_crop_of_a_box_is_turned_by_its_eyes():
    crop = box(0, 0, 10, 1).crop(1.5)
    assert crop[:3] == (5, 5, 15) and np.isclose(crop.angle, np.arctan2(4, 3))
