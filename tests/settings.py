"""Params of the tests: the embedded profile, and the pre-trainings that from-scratch describes."""

from pathlib import Path

from mfnet.params import Section
from mfnet.profiles import load_profile

ROOT = Path(__file__).parents[1]
EMBEDDED = load_profile("embedded")
FROM_SCRATCH = load_profile(ROOT / "params" / "from-scratch.yaml")
PAPER_TERMS = ("flow", "landmarks", "eye", "lip", "regularisation")
"""The terms of eq. 11 in its order; each is weighted by the key of `loss` that has its name."""
EXACT_PLAN = EMBEDDED.plan.model_copy(update={"reserve": 0.0, "same_illumination": False})
"""A plan without a reserve: as many triplets as are asked for."""
PLAIN_SAMPLER = EMBEDDED.sampler.model_copy(update={"clutter": 0.0, "long_hair": 0.0, "occluders": 0.0})
"""Random heads of which every pixel of the face is seen."""
CROP_SCALE = EMBEDDED.triplets.crop_scale


def having(section: Section, **keys):
    """A section with other values of some keys."""
    return section.model_copy(update=keys)
