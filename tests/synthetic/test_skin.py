"""Skins look like skin where it matters: to landmark networks and to optical flow."""

from dataclasses import replace

import numpy as np
import pytest

from mfnet.synthetic.noise import SolidNoise
from mfnet.synthetic.skin import paint_skin
from mfnet.synthetic.traits import HAIR, IRIS, SkinTraits, random_traits
from tests.synthetic.texels import texel

PLAIN = SkinTraits(
    melanin=0.15,
    blood=0.2,
    lip_blood=0.8,
    freckles=0.0,
    moles=0,
    stubble=0.0,
    beard=0.0,
    contrast=1.0,
    brow_width=3.5,
    brow_density=0.9,
    hairline=0.0,
    hair_density=1.0,
    teeth=0.8,
    hair=HAIR["black"],
    iris=IRIS["blue"],
    gaze=(0.0, 0.0),
)


def paint(atlas, traits=PLAIN, seed=0):
    return paint_skin(atlas, traits, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def skin(atlas):
    return paint(atlas)


def cheek(atlas):
    return texel(atlas, (atlas.landmarks[2] + atlas.landmarks[31]) / 2)


def test_equal_seeds_paint_equal_skins_and_others_do_not(atlas, skin):
    assert np.array_equal(skin, paint(atlas))
    assert np.abs(skin - paint(atlas, seed=1)).mean() > 0.002
    assert skin.dtype == np.float32 and skin.min() > 0 and skin.max() <= 1


def test_melanin_darkens_and_lips_are_redder_than_cheeks(atlas, skin):
    row, column = cheek(atlas)
    tones = [paint(atlas, replace(PLAIN, melanin=m))[row, column].mean() for m in (0.0, 0.3, 0.6, 1.0)]
    assert tones == sorted(tones, reverse=True) and tones[0] > 2 * tones[-1]
    lip = skin[texel(atlas, (atlas.landmarks[57] + atlas.landmarks[66]) / 2)]
    assert lip[0] / lip[1] > 1.15 * skin[row, column][0] / skin[row, column][1]


def test_eyes_have_a_pupil_an_iris_and_a_sclera(atlas, skin):
    radius = np.linalg.norm(atlas.eye_offset, axis=-1)
    eye = atlas.eye & atlas.covered & (atlas.position[..., 2] > atlas.landmarks[36, 2])
    pupil, iris, sclera = (skin[eye & (radius > a) & (radius < b)] for a, b in ((0, 2), (3.2, 5), (8, 10)))
    assert pupil.mean() < 0.1 and sclera.mean() > 0.35
    assert iris[:, 2].mean() > iris[:, 0].mean()  # blue


def test_brows_and_scalp_are_dark_hair_and_stubble_darkens_the_chin(atlas, skin):
    forehead = skin[texel(atlas, atlas.landmarks[[19, 24]].mean(0) + np.array([0, 20, 0]))].mean()
    assert skin[texel(atlas, atlas.landmarks[20])].mean() < 0.6 * forehead
    top = atlas.position[..., 1] > np.quantile(atlas.position[..., 1], 0.97)
    assert skin[top].mean() < 0.4 * forehead
    shaven = paint(atlas, replace(PLAIN, stubble=0.9))
    chin = np.linalg.norm(atlas.position - atlas.landmarks[[8, 57]].mean(0), axis=-1) < 12
    assert shaven[chin].mean() < 0.9 * skin[chin].mean()
    bearded = paint(atlas, replace(PLAIN, beard=1.0))
    assert bearded[chin].mean() < 0.7 * shaven[chin].mean()


def test_the_bald_have_skin_where_others_have_hair(atlas, skin):
    top = atlas.covered & (atlas.position[..., 1] > np.quantile(atlas.position[..., 1], 0.97))
    bald = paint(atlas, replace(PLAIN, hair_density=0.0))
    assert bald[top].mean() > 3 * skin[top].mean()


def test_teeth_are_white_and_their_gums_red(atlas):
    """A head whose hidden texels behind the lips are teeth, half of them beyond the height of a crown."""
    teeth = atlas.inner_mouth & atlas.covered
    crown = np.where(atlas.position[..., 1] > np.median(atlas.position[teeth][:, 1]), 20.0, 2.0)
    skin = paint(replace(atlas, teeth=teeth, crown=crown, occlusion=np.ones_like(atlas.occlusion)))
    enamel, gums = skin[teeth & (crown < 9)], skin[teeth & (crown > 9)]
    assert enamel.mean() > 1.2 * gums.mean()
    assert np.median(enamel[:, 0] / enamel[:, 2]) < 1.4 < np.median(gums[:, 0] / gums[:, 2])


def test_skin_has_detail_for_optical_flow_to_hold_on_to(atlas, skin):
    row, column = cheek(atlas)
    patch = skin[row - 4 : row + 5, column - 4 : column + 5].mean(-1)
    assert np.abs(np.diff(patch, axis=0)).mean() > 0.01 * patch.mean()


def test_random_traits_cover_a_wide_range():
    rng = np.random.default_rng(0)
    traits = [random_traits(rng, {}) for _ in range(200)]
    melanin = [t.melanin for t in traits]
    assert min(melanin) < 0.05 and max(melanin) > 0.8
    assert 0.3 < np.mean([t.stubble > 0 for t in traits]) < 0.7
    assert len({t.iris for t in traits}) == len(IRIS)


def test_solid_noise_has_unit_variance_and_the_wavelength_asked_for():
    place = np.stack(np.meshgrid(*[np.arange(0, 60, 0.5, dtype=np.float32)] * 2, [0.0]), -1)[:, :, 0].astype(np.float32)
    noise = SolidNoise(np.random.default_rng(0), place)
    fine, coarse = noise(2.0), noise(20.0)
    assert 0.85 < fine.std() < 1.15 and abs(fine.mean()) < 0.1
    assert np.abs(np.diff(coarse, axis=0)).mean() < 0.2 * np.abs(np.diff(fine, axis=0)).mean()
