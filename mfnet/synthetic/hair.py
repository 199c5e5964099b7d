"""Hair of painted heads: scalp, brows, stubble and beards, strand by strand."""

from collections.abc import Iterator

import numpy as np

from mfnet.synthetic.atlas import HeadAtlas
from mfnet.synthetic.noise import SolidNoise, step
from mfnet.synthetic.traits import SkinTraits

CROWN_MM = 70.0
"""Radius of the skull about the whorl's axis: turns angles around the whorl into lengths."""
BROW_MM = 45.0
"""Length of a brow."""


def hair_layers(
    atlas: HeadAtlas, traits: SkinTraits, noise: SolidNoise, skin: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(colour [H, W, 3], cover [H, W] 0..1) of each layer, to be laid over `skin` [H, W, 3] in this order."""
    hair = np.array(traits.hair)
    area = _beard_area(atlas, noise)
    shaven = np.clip(0.55 + 0.35 * noise(1.5) + 0.12 * noise(15), 0, 1)
    yield 0.55 * skin + 0.45 * hair, traits.stubble * area * shaven
    x, y, z = np.moveaxis(atlas.position, -1, 0)
    curls = noise.along(np.stack([x, z], -1), y, 1.0, 6.0)
    yield _tinted(hair, curls, noise(20)), traits.beard * area * np.clip(0.85 + 0.4 * curls, 0, 1)
    strands = _brow_strands(atlas, noise)
    yield _tinted(hair, strands, noise(20)), _brow_cover(atlas, traits, noise, strands)
    strands = _scalp_strands(atlas, noise)
    yield _tinted(hair, strands, noise(20)), _scalp_cover(atlas, traits, noise, strands)


def _tinted(hair: np.ndarray, strands: np.ndarray, locks: np.ndarray) -> np.ndarray:
    """Hair [H, W, 3], lighter and darker by strand and lock."""
    return hair * (1 + 0.25 * strands + 0.12 * locks)[..., None].clip(0.3)


def _beard_area(atlas: HeadAtlas, noise: SolidNoise) -> np.ndarray:
    """Where a beard grows, 0..1: below nose and ears, above the throat, not on the lips."""
    x, y, z = np.moveaxis(atlas.position, -1, 0)
    points = atlas.landmarks
    upper = points[33, 1] - 3 - 0.02 * np.minimum(np.abs(x), 45) ** 2 * (np.abs(x) < 30) - 12 * (np.abs(x) >= 30)
    below = step(upper - y + 3 * noise(8) + 2 * noise(2), 5)
    return below * step(y - (points[8, 1] - 22), 8) * step(z - (points[2, 2] - 8), 6) * step(-1.5 - atlas.lips, 1)


def _brow_strands(atlas: HeadAtlas, noise: SolidNoise) -> np.ndarray:
    """Noise [H, W] of single hairs: upright at a brow's inner end, lying outwards at its outer one."""
    along = BROW_MM * atlas.brow_along
    lean = np.radians(70 - 55 * atlas.brow_along)
    height = np.clip(atlas.brow, -20, 20)
    across, strand = height * np.cos(lean) - along * np.sin(lean), height * np.sin(lean) + along * np.cos(lean)
    side = 50.0 * (atlas.position[..., 0] > 0)
    return noise.along(np.stack([across, side], -1), strand, 0.7, 5.0)


def _brow_cover(atlas: HeadAtlas, traits: SkinTraits, noise: SolidNoise, strands: np.ndarray) -> np.ndarray:
    """Cover by the brows: thickest near the nose, thinning outwards, edges of single hairs."""
    width = traits.brow_width * (1.05 - 0.65 * atlas.brow_along**1.5) + 0.5 * noise(1.8)
    return traits.brow_density * step(width - np.abs(atlas.brow), 1.4) * np.clip(0.8 + 0.35 * strands, 0, 1)


def _scalp_strands(atlas: HeadAtlas, noise: SolidNoise) -> np.ndarray:
    """Noise [H, W] of strands that run from the whorl at the back of the crown over the head."""
    inside = atlas.position - np.array([0, 20, atlas.landmarks[27, 2] - 85])  # from the middle of the skull
    turned = np.stack([inside[..., 0], inside @ np.array([0, -0.5, 0.87]), inside @ np.array([0, 0.87, -0.5])], -1)
    x, z, up = np.moveaxis(turned / np.linalg.norm(turned, axis=-1, keepdims=True).clip(1), -1, 0)
    around = np.arctan2(z, x)
    ring = CROWN_MM * np.stack([np.cos(around), np.sin(around)], -1)
    return noise.along(ring, CROWN_MM * np.arccos(np.clip(up, -1, 1)), 1.4, 16.0)


def _scalp_cover(atlas: HeadAtlas, traits: SkinTraits, noise: SolidNoise, strands: np.ndarray) -> np.ndarray:
    """Cover by hair: above and behind a plane from the forehead to behind the ears, down to the nape."""
    points, (y, z) = atlas.landmarks, np.moveaxis(atlas.position[..., 1:], -1, 0)
    front = np.array([points[[19, 24], 1].mean() + 48 + traits.hairline, points[[19, 24], 2].mean() - 8])
    ear = np.array([points[[0, 16], 1].mean(), points[[0, 16], 2].mean() - 33])
    up = np.array([front[1] - ear[1], ear[0] - front[0]]) / np.linalg.norm(front - ear)  # normal of the plane in (y, z)
    height = (y - ear[0]) * up[0] + (z - ear[1]) * up[1]
    nape = y - (points[8, 1] + 12)
    edge = step(np.minimum(height, nape) + 2.0 * noise(6) + 2.0 * strands, 3.0)
    thin = 1.0 if traits.hair_density == 1 else np.clip(0.9 + 0.5 * strands, 0, 1)
    return traits.hair_density * edge * thin
