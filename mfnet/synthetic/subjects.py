"""Random people for a head model: identity, expression, and a pool of skins to share among them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mfnet.errors import InputError
from mfnet.flame import Flame
from mfnet.flame.population import Ranges
from mfnet.io.images import to_uint8
from mfnet.synthetic.atlas import HeadAtlas, head_atlas
from mfnet.synthetic.skin import paint_skin
from mfnet.synthetic.traits import SkinTraits, random_traits

EXPRESSION_MM = 1.6
"""Root mean square displacement of the face that a random expression may have, whatever the head's units are."""


@dataclass(frozen=True)
class Subject:
    """One synthetic person."""

    shape: np.ndarray
    """[n_shape] identity coefficients, N(0, 1)."""
    traits: SkinTraits
    texture_seed: tuple[int, ...]
    """Entropy of the generator that paints the skin."""
    attributes: dict[str, float]
    """Age, sex and the like, as the head's population names them; empty for a head without one."""


def random_subject(flame: Flame, seed: tuple[int, ...], ranges: Ranges) -> Subject:
    """The person of `seed`, evenly drawn within `ranges` of attributes, else of the head's own population.

    Equal seeds are equal persons on the same head model. Raises InputError for a range that the head does not know.
    """
    rng = np.random.default_rng(seed)
    if flame.population is None:
        if ranges:
            raise InputError(
                f"populations: the head says nothing of {', '.join(ranges)}; use a population without them"
            )
        shape, attributes = rng.standard_normal(flame.n_shape), {}
    else:
        drawn = flame.population.draw_attributes(1, rng, ranges)
        shape = flame.population.draw(drawn, rng)[0, : flame.n_shape].round(4)  # last bits differ between processors
        attributes = dict(zip(flame.population.names, drawn[0].round(4).tolist(), strict=True))
    return Subject(shape.astype(np.float32), random_traits(rng, attributes), (*seed, 1), attributes)


def expression_scale(flame: Flame) -> float:
    """Standard deviation of random expression coefficients: 1, or less where 1 would move the face too much.

    FLAME's expression directions have unit variance; other heads in its format may hold whole blendshapes (0..1). So
    the scale is bounded by the displacement that independent coefficients cause over the face: `EXPRESSION_MM`.
    """
    face = face_vertices(flame)
    with torch.no_grad():
        zero = torch.zeros(1, flame.n_expression)
        coefficients = torch.cat([zero, torch.eye(flame.n_expression)])
        moved = decode(flame, torch.zeros(len(coefficients), flame.n_shape), coefficients)[:, face]
    spread = (moved[1:] - moved[:1]).square().sum(-1).mean(1).sum().sqrt().item()  # independent: variances add
    return min(1.0, EXPRESSION_MM / 1000 / max(spread, 1e-9))


def decode(flame: Flame, shape: Tensor, expression: Tensor, jaw_pose: Tensor | None = None) -> Tensor:
    """Vertices [B, V, 3] of unrotated heads."""
    return flame(shape, expression, torch.zeros(len(shape), 3), jaw_pose=jaw_pose).vertices


def face_vertices(flame: Flame) -> Tensor:
    """Indices of the face's vertices. Raises InputError for a head without what the synthetic camera needs."""
    has = {"uv": flame.uv is not None, "landmarks": flame.has_landmarks, "face mask": "face" in flame.masks}
    for name, there in has.items():
        if not there:
            raise InputError(f"head model: has no {name}; give a landmark embedding and a template with UV")
    return flame.masks["face"].nonzero()[:, 0]


def texture_pool(flame: Flame, count: int, size: int, seed: int) -> Tensor:
    """`count` random skins [count, 3, size, size] uint8, to be shared by many random subjects."""
    atlas = head_atlas(flame, size)
    pool = torch.empty(count, 3, size, size, dtype=torch.uint8)
    for index in tqdm(range(count), desc="skins", disable=None):
        rng = np.random.default_rng((seed, index))
        texture = paint_skin(atlas, random_traits(rng, {}), rng)
        pool[index] = torch.from_numpy(to_uint8(texture)).permute(2, 0, 1)
    return pool


def paint_subject(atlas: HeadAtlas, subject: Subject) -> Tensor:
    """The subject's skin [1, 3, H, W] in 0..1."""
    texture = paint_skin(atlas, subject.traits, np.random.default_rng(subject.texture_seed))
    return torch.from_numpy(texture).permute(2, 0, 1)[None].contiguous()
