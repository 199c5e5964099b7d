"""Finding texels."""

import numpy as np

from mfnet.synthetic.atlas import HeadAtlas


def texel(atlas: HeadAtlas, point: np.ndarray) -> tuple[int, int]:
    """Row and column of the covered texel nearest to a point in the atlas's coordinates (face mm)."""
    distance = np.linalg.norm(atlas.position - point, axis=-1)
    return np.unravel_index(np.where(atlas.covered, distance, np.inf).argmin(), distance.shape)
