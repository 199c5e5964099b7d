"""What distinguishes one painted skin from another, and how it is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

HAIR = {"black": (0.05, 0.045, 0.04), "brown": (0.17, 0.11, 0.07), "chestnut": (0.28, 0.17, 0.10)}
FAIR_HAIR = {"blond": (0.55, 0.42, 0.26), "red": (0.42, 0.18, 0.09), "grey": (0.50, 0.49, 0.47)}
IRIS = {
    "dark": (0.13, 0.08, 0.05),
    "hazel": (0.30, 0.20, 0.09),
    "green": (0.26, 0.31, 0.18),
    "blue": (0.25, 0.37, 0.50),
}
GREY_FROM = 40.0
"""Years at which hair begins to turn grey and hairlines to recede."""


@dataclass(frozen=True)
class SkinTraits:
    """What distinguishes one skin from another; lengths in mm of the face."""

    melanin: float
    """Density: 0 none, 1 the darkest skins."""
    blood: float
    """Density at the surface, away from lips and cheeks."""
    lip_blood: float
    """Density in the lips; 1 in full ones."""
    freckles: float
    """Density of their melanin."""
    moles: int
    stubble: float
    """Cover by a shaven beard, 0..1."""
    beard: float
    """Cover by a beard, 0..1."""
    contrast: float
    """Of patches, pores and wrinkles; 1 is usual."""
    brow_width: float
    """From a brow's line to its edge."""
    brow_density: float
    """Cover by the brows, 0..1."""
    hairline: float
    """By how much it recedes."""
    hair_density: float
    """1 full, 0.45 cropped, 0 bald."""
    teeth: float
    """Reflectance of enamel."""
    hair: tuple[float, float, float]
    """RGB reflectance."""
    iris: tuple[float, float, float]
    """RGB reflectance."""
    gaze: tuple[float, float]
    """Of both eyes, on the eyeball: to +x and up."""


def random_traits(rng: np.random.Generator, attributes: Mapping[str, float]) -> SkinTraits:
    """Draw traits; fair hair and light eyes go with fair skins.

    attributes: what is known of the person, of `mfnet.flame.population`: ancestry darkens the skin, men have beards and
    lose their hair with age, and it turns grey. What is not known is drawn for anybody.
    """
    melanin = float(rng.beta(0.9, 1.5))
    if "african" in attributes:
        usual = 0.15 + 0.65 * attributes["african"] + 0.12 * attributes["asian"]
        melanin = float(np.clip(rng.normal(usual, 0.1), 0, 1))
    hair, iris = dict(HAIR), {"dark": IRIS["dark"]}
    if melanin < 0.35:
        hair, iris = hair | FAIR_HAIR, IRIS
    years_over = max(attributes.get("age", GREY_FROM) - GREY_FROM, 0)
    if years_over and rng.random() < years_over / 35:
        hair = {"grey": FAIR_HAIR["grey"]}
    man = attributes.get("male", 1.0) > 0.5
    bearded = man and rng.random() < 0.5
    return SkinTraits(
        melanin=melanin,
        blood=float(rng.uniform(0.10, 0.40)),
        lip_blood=float(rng.uniform(0.45, 1.0)),
        freckles=float(rng.uniform(0, 0.35) ** 2 / 0.35 if melanin < 0.4 else 0.0),
        moles=int(rng.poisson(7)),
        stubble=float(rng.uniform(0.1, 0.9) if bearded else 0.0),
        beard=float(rng.uniform(0.5, 1.0) if bearded and rng.random() < 0.4 else 0.0),
        contrast=float(rng.uniform(0.7, 1.3)),
        brow_width=float(rng.uniform(2.6, 4.4) + 0.8 * bearded),
        brow_density=float(rng.uniform(0.55, 0.95)),
        hairline=float(rng.uniform(-6, 12) + 0.3 * man * years_over),
        hair_density=float(rng.choice([0.0, 0.45, 1.0], p=[0.1, 0.2, 0.7])),
        teeth=float(rng.uniform(0.6, 0.9)),
        hair=hair[list(hair)[rng.integers(len(hair))]],
        iris=iris[list(iris)[rng.integers(len(iris))]],
        gaze=(float(rng.normal(0, 0.8)), float(rng.normal(0, 0.5))),
    )
