"""Texels know where they lie on the face."""

import numpy as np
import pytest

from mfnet.synthetic.atlas import FAR
from tests.synthetic.texels import texel

NOSE_TIP, CHIN = 30, 8


def test_every_landmark_has_a_texel_close_by(atlas):
    for point in atlas.landmarks:
        row, column = texel(atlas, point)
        assert np.linalg.norm(atlas.position[row, column] - point) < 3


@pytest.mark.parametrize("corners", [(36, 39), (42, 45)])
def test_the_middle_of_an_eye_is_eye(atlas, corners):
    row, column = texel(atlas, atlas.landmarks[list(corners)].mean(0) + np.array([0, 0, 3]))
    assert atlas.eye[row, column]
    assert np.linalg.norm(atlas.eye_offset[row, column]) < 6


def test_lips_are_inside_their_outline_and_nothing_else_is(atlas):
    lower_lip = (atlas.landmarks[57] + atlas.landmarks[66]) / 2
    assert atlas.lips[texel(atlas, lower_lip)] > 0
    assert FAR < atlas.lips[texel(atlas, atlas.landmarks[NOSE_TIP])] < -10
    assert abs(atlas.lips[texel(atlas, atlas.landmarks[48])]) < 3


def test_brows_lie_on_their_landmarks_from_the_inner_end_outwards(atlas):
    for points in (range(21, 16, -1), range(22, 27)):
        texels = [texel(atlas, atlas.landmarks[point]) for point in points]
        assert max(atlas.brow[place] for place in texels) < 3
        along = [atlas.brow_along[place] for place in texels]
        assert along == sorted(along)


def test_the_back_of_the_head_is_not_front(atlas):
    back = atlas.position[..., 2] < atlas.landmarks[[0, 16], 2].min() - 60
    height = atlas.position[..., 1]
    back &= atlas.covered & (height < atlas.landmarks[19, 1]) & (height > atlas.landmarks[8, 1])  # no crown, no neck
    assert back.sum() > 100 and atlas.front[back].mean() < 0.02
    assert atlas.lips[back].max() < -20 and atlas.lids[back].max() < -20


def test_hollows_are_darker_than_the_nose(atlas):
    nose = atlas.occlusion[texel(atlas, atlas.landmarks[NOSE_TIP])]
    assert nose > 0.8
    assert atlas.occlusion[atlas.inner_mouth & atlas.covered].mean() < 0.5 * nose
