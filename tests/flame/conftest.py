"""A tiny head with every part of a FLAME model, and its fields as an official file names them."""

import numpy as np
import pytest

from benchmarks.flame import random_head
from mfnet.flame.head import HeadArrays


@pytest.fixture(scope="session")
def head() -> HeadArrays:
    """42 vertices, 80 faces, 300 + 100 directions, landmarks; no UV, no masks."""
    return random_head(vertices=42, faces=80, seed=1)


@pytest.fixture
def fields(head) -> dict:
    """The model's own keys in FLAME 2023's types; a fresh dict of fresh arrays for each test."""
    return {
        "v_template": head.v_template.copy(),
        "shapedirs": head.shapedirs.copy(),
        "posedirs": head.posedirs.copy(),
        "J_regressor": head.joint_regressor.copy(),
        "weights": head.weights.copy(),
        "f": head.faces.astype(np.uint32),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
        "bs_type": "lrotmin",
        "bs_style": "lbs",
    }
