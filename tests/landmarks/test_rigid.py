"""What 68 points tell of a rigid head: exact where they are its own, and bounded where people differ."""

import numpy as np
import pytest

from mfnet.datasets.multipie import YAW
from mfnet.geometry.conventions import about_x, about_y, about_z
from mfnet.landmarks.ibug import MIRRORED
from mfnet.landmarks.rigid import disagreement, stance
from tests.landmarks.faces import head, person, photograph


@pytest.mark.parametrize("yaw", YAW.values())
def test_the_mean_heads_own_stance_is_found(yaw):
    turn = about_z(0.2) @ about_x(-0.1) @ about_y(np.radians(yaw))
    points = head().points @ turn.T
    found = stance((points[:, :2] * [900, -900] + [100, 50])[None], head())
    np.testing.assert_allclose(found.rotation[0], turn, atol=1e-3)
    assert found.misfit[0] < 1e-4


def test_scale_and_place_do_not_matter():
    points = np.stack([photograph(person(seed), 30) for seed in range(5)])
    one, other = stance(points, head()), stance(3 * points + [50, -70], head())
    np.testing.assert_allclose(one.rotation, other.rotation, atol=1e-9)
    np.testing.assert_allclose(one.shape, other.shape, atol=1e-9)


def test_people_are_seen_from_where_the_camera_stands():
    people = {yaw: np.stack([photograph(person(seed), yaw, 2, seed) for seed in range(20)]) for yaw in YAW.values()}
    for yaw, points in people.items():
        found = stance(points, head())
        assert np.abs(found.yaw - yaw).max() < 20 and found.misfit.max() < 0.12


def test_points_in_mirrored_order_upside_down_or_mirrored_look_away():
    points = np.stack([photograph(person(seed), yaw) for seed, yaw in enumerate((0, 15, -30, 45, -60))])
    for wrong in (points[:, MIRRORED], points * [1, -1], points * [-1, 1]):
        assert np.all(stance(wrong, head()).facing < -0.4)
    assert np.all(stance(points, head()).facing > 0.4)


def test_views_of_one_rigid_head_agree_and_of_others_do_not():
    def shapes(*views):
        return stance(np.stack(views), head()).shape[None]

    same = shapes(*(photograph(person(1), yaw) for yaw in (0, -30, 60)))
    noisy = shapes(*(photograph(person(1), yaw, 1.5, int(yaw) % 7) for yaw in (0, -30, 60)))
    spoilt = shapes(photograph(person(1), 0), photograph(person(1), -30, 20), photograph(person(1), 60))
    assert disagreement(same)[0] < 1e-9 < disagreement(noisy)[0] < 0.03 < 0.04 < disagreement(spoilt)[0]


def test_what_is_seen_follows_from_the_yaw():
    visible = head().visible
    assert visible[0.0][17:].all()
    assert visible[90.0][36] and not visible[90.0][45] and visible[-90.0][45] and not visible[-90.0][36]
    for yaw in YAW.values():
        np.testing.assert_array_equal(visible[yaw][36:48], visible[-yaw][MIRRORED][36:48])
