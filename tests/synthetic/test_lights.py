"""Lights in spherical harmonics."""

import numpy as np
import pytest
import torch

from mfnet.geometry import euler_to_matrix
from mfnet.render import sh_basis
from mfnet.synthetic.lights import (
    ambient_light,
    direction,
    distant_light,
    flash_direction,
    multipie_light,
    random_light,
    rotate_light,
)

RIGHT, LEFT, FRONT, UP, DOWN = np.array(
    [[-1.0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0], [0, -1, 0]]
)  # the subject's right is x < 0


def shading(light, normals):
    return sh_basis(torch.from_numpy(np.atleast_2d(normals))).numpy() @ light


@pytest.fixture(scope="module")
def normals():
    vectors = np.random.default_rng(0).standard_normal((500, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_ambient_light_is_the_same_everywhere(normals):
    assert np.allclose(shading(ambient_light(np.array([0.5, 0.4, 0.3])), normals), [0.5, 0.4, 0.3], atol=1e-9)


def test_a_distant_lamp_is_lambert_to_second_order(normals):
    towards = direction(40, 20)
    values = shading(distant_light(towards, np.ones(3)), normals)[:, 0]
    assert np.abs(values - np.maximum(normals @ towards, 0)).max() < 0.1  # Ramamoorthi and Hanrahan: 9 % at most


def test_a_rotated_light_shades_rotated_normals_alike(normals):
    light = random_light(np.random.default_rng(3))
    turn = euler_to_matrix(*torch.tensor([0.7, -0.3, 0.2], dtype=torch.float64)).numpy()
    assert np.allclose(shading(rotate_light(light, turn), normals @ turn.T), shading(light, normals), atol=1e-6)


def test_flashes_stand_where_multipie_numbers_them():
    assert flash_direction(0) is None and flash_direction(19) is None
    assert np.allclose(flash_direction(1), RIGHT) and np.allclose(flash_direction(13), LEFT)
    assert np.allclose(flash_direction(7), FRONT)
    assert np.array_equal(multipie_light(0), multipie_light(19))
    for number in range(1, 19):
        assert (
            shading(multipie_light(number), flash_direction(number)).mean()
            > 1.5 * shading(multipie_light(0), flash_direction(number)).mean()
        )


@pytest.mark.parametrize(
    "number, bright, dark", [(1, RIGHT, LEFT), (13, LEFT, RIGHT), (7, FRONT, LEFT), (16, UP, DOWN)]
)
def test_a_flash_lights_its_own_side(number, bright, dark):
    light = multipie_light(number)
    assert shading(light, bright).mean() > 1.4 * shading(light, dark).mean()


def test_direction_has_the_sign_of_yaw():
    assert np.allclose(direction(90, 0), RIGHT) and np.allclose(direction(0, 90), UP)
