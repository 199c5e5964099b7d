"""Random skins: albedo textures in UV for any head.

Colour follows Beer and Lambert: light that has passed through skin is what bare dermis reflects, weakened exponentially
by melanin and blood. So tans, freckles and moles are melanin, cheeks and lips are blood, and every tone stays a skin
tone. Detail is solid noise, evaluated where a texel lies in space, so no seam of the UV layout shows.
"""

import numpy as np

from mfnet.synthetic.atlas import HeadAtlas
from mfnet.synthetic.hair import hair_layers
from mfnet.synthetic.noise import SolidNoise, step
from mfnet.synthetic.traits import SkinTraits

DERMIS = np.array([0.93, 0.83, 0.75])
"""RGB reflectance of skin without melanin and surface blood."""
MELANIN = np.array([1.10, 1.45, 1.75])
"""Absorption (natural log, RGB) of melanin of density 1: the darkest skins."""
BLOOD = np.array([0.10, 0.62, 0.52])
"""Absorption of surface blood of density 1: full lips."""
IRIS_MM, PUPIL_MM = 6.3, 2.4
MOUTH, TONGUE = np.array([0.33, 0.13, 0.12]), np.array([0.52, 0.24, 0.22])
GUMS = np.array([0.60, 0.30, 0.28])
LID_SHADOW = 0.45
"""How much darker the eyeball is under the upper lid."""
CROWN_MM = 9.0
"""Height of a tooth over its biting edge; gums lie beyond."""
TOOTH_EDGES = np.array([0.0, 8.5, 15.0, 22.5, 29.5, 36.5])
"""Where neighbours meet, mm from the middle along x."""


def paint_skin(atlas: HeadAtlas, traits: SkinTraits, rng: np.random.Generator) -> np.ndarray:
    """An albedo texture [H, W, 3] float32 in 0..1, occlusion included; row 0 is v = 1."""
    noise = SolidNoise(rng, atlas.position)
    melanin, blood = _pigments(atlas, traits, noise, rng)
    skin = DERMIS * np.exp(-melanin[..., None] * MELANIN - blood[..., None] * BLOOD)
    skin = skin * (1 + 0.035 * traits.contrast * noise(1.6))[..., None]  # pores and fine wrinkles
    skin = _blend(skin, 0.45 * skin, _lip_line(atlas) + _lash_line(atlas))
    for colour, cover in hair_layers(atlas, traits, noise, skin):
        skin = _blend(skin, colour, cover)
    skin = np.where((atlas.inner_mouth & ~atlas.teeth)[..., None], MOUTH, skin)
    skin = np.where(atlas.tongue[..., None], TONGUE * (1 + 0.15 * noise(1.5))[..., None], skin)
    skin = skin * (0.35 + 0.65 * np.clip(atlas.occlusion, 0, 1) ** 0.8)[..., None]
    open_air = (
        0.5 + 0.5 * np.clip(2 * atlas.occlusion, 0, 1)[..., None]
    )  # wet and white: they catch what light there is
    skin = np.where(atlas.teeth[..., None], _teeth(atlas, traits) * open_air, skin)
    return np.where(atlas.eye[..., None], _eyes(atlas, traits) * open_air, skin).clip(0.01, 1).astype(np.float32)


def _pigments(
    atlas: HeadAtlas, traits: SkinTraits, noise: SolidNoise, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Densities [H, W] of melanin and blood: patches, freckles and moles; cheeks, nose, chin, ears, lips."""
    contrast = traits.contrast
    melanin = traits.melanin * (1 + contrast * (0.09 * noise(45) + 0.05 * noise(12) + 0.035 * noise(4)))
    freckles = np.clip(noise(1.9) - 1.0, 0, 1) * np.clip(0.7 + 0.5 * noise(25), 0, 1)
    melanin = melanin + traits.freckles * freckles * (atlas.position[..., 1] < 40) * (atlas.position[..., 1] > -60)
    texels = np.flatnonzero(atlas.covered & atlas.front)
    for place in rng.choice(texels, traits.moles):
        radius = rng.uniform(0.7, 1.8)
        distance = np.linalg.norm(atlas.position - atlas.position.reshape(-1, 3)[place], axis=-1)
        melanin = melanin + rng.uniform(0.3, 0.8) * step(radius - distance, 0.5)
    points = atlas.landmarks
    cheeks = [np.array([sign * 38.0, points[33, 1] + 8, points[33, 2] - 25]) for sign in (-1, 1)]
    flushed = sum(_blob(atlas, centre, 17) for centre in cheeks)
    flushed = flushed + 0.8 * _blob(atlas, points[30], 11) + 0.4 * _blob(atlas, points[8], 14)
    blood = traits.blood * (1 + contrast * (0.18 * noise(30) + 0.12 * noise(9) + 0.07 * noise(3)) + 0.8 * flushed)
    lips = step(atlas.lips, 1.0)
    lip_blood = traits.lip_blood * (1 + 0.12 * noise(2.0, stretch=(1, 0.3, 0.3)) + 0.1 * noise(6))
    return melanin.clip(0), (blood * (1 - lips) + lip_blood * lips).clip(0)


def _lip_line(atlas: HeadAtlas) -> np.ndarray:
    """The dark line where the lips meet."""
    return 0.8 * np.exp(-((atlas.mouth / 0.9) ** 2)) * (atlas.lips > -2) * atlas.front


def _lash_line(atlas: HeadAtlas) -> np.ndarray:
    """Lashes around the eyes, thicker on the upper lid, and the fold above it."""
    upper = atlas.position[..., 1] > atlas.landmarks[36:48, 1].mean()
    lashes = np.exp(-((atlas.lids / np.where(upper, 1.6, 0.9)) ** 2))
    return 0.85 * lashes + 0.25 * upper * np.exp(-(((atlas.lids + 5) / 1.5) ** 2))


def _eyes(atlas: HeadAtlas, traits: SkinTraits) -> np.ndarray:
    """Sclera, limbus, iris and pupil [H, W, 3], looking where `traits.gaze` (mm on the eyeball) says."""
    offset = atlas.eye_offset - np.array(traits.gaze, np.float32)
    radius = np.linalg.norm(offset, axis=-1)
    angle = np.arctan2(offset[..., 1], offset[..., 0])
    colour = np.broadcast_to(np.array([0.86, 0.83, 0.80]), (*radius.shape, 3))
    spokes = 1 + 0.15 * np.sin(23 * angle) + 0.10 * np.sin(37 * angle + 1)
    colour = _blend(colour, np.array(traits.iris) * spokes[..., None], step(IRIS_MM - radius, 0.5))
    colour = _blend(colour, 0.35 * colour, np.exp(-(((radius - IRIS_MM) / 0.7) ** 2)))
    colour = _blend(colour, np.array([0.02, 0.02, 0.02]), step(PUPIL_MM - radius, 0.4))
    return colour * (1 - LID_SHADOW * step(atlas.eye_offset[..., 1:] - 3.0, 4.0))


def _teeth(atlas: HeadAtlas, traits: SkinTraits) -> np.ndarray:
    """Enamel and gums [H, W, 3], with a shadow between neighbours."""
    gap = np.abs(np.abs(atlas.position[..., :1]) - TOOTH_EDGES).min(-1)
    shadow = 1 - 0.45 * np.exp(-((gap / 0.5) ** 2))
    enamel = traits.teeth * np.array([1.0, 0.95, 0.84]) * shadow[..., None]
    arch = CROWN_MM - 1.2 * np.cos(np.minimum(gap, 4) * np.pi / 4)  # gums reach down between the teeth
    return _blend(enamel, GUMS, step(atlas.crown - arch, 0.8))


def _blob(atlas: HeadAtlas, centre: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian around a point of the face [H, W]."""
    return np.exp(-(((atlas.position - centre) / sigma) ** 2).sum(-1) / 2)


def _blend(below: np.ndarray, above: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Lay `above` over `below` where `cover` [H, W] is 1."""
    cover = np.clip(cover, 0, 1)[..., None]
    return below * (1 - cover) + above * cover
