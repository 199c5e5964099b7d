"""A head small enough to be written down: what the networks need to know of one."""

from types import SimpleNamespace

import pytest
import torch

from mfnet.flame.provenance import Provenance
from mfnet.params import ModelParams
from tests.losses.conftest import flame, scene  # noqa: F401


class BoxHead:
    """Stands for a head model: counts, a hash, an owner, and 68 neutral landmarks spread over 12 x 14 cm."""

    def __init__(self, n_shape=100, n_expression=50, content_hash="a" * 64):
        self.n_shape, self.n_expression, self.content_hash = n_shape, n_expression, content_hash
        self.provenance = Provenance("A box", "CC-BY-4.0", "Its maker")
        self.faces = torch.zeros(1, 3, dtype=torch.int64)

    def __call__(self, shape, *poses):
        x, y = torch.linspace(-0.06, 0.06, 68), torch.linspace(-0.10, 0.04, 68)
        return SimpleNamespace(landmarks=torch.stack([x, y, 0 * x], -1).expand(len(shape), -1, -1))


@pytest.fixture
def box_head():
    """The head all tests of this room use unless they need another one."""
    return BoxHead()


@pytest.fixture
def other_head():
    """The same counts, other content."""
    return BoxHead(content_hash="b" * 64)


@pytest.fixture
def small():
    """Model params of the synthetic profile at a quarter of the width; keyword arguments change them."""

    def make(**changes):
        base = {
            "backbone": "resnet18",
            "width": 0.25,
            "pooling": "spatial",
            "fusion": "concat",
            "views": 3,
            "n_albedo": 50,
        }
        return ModelParams(**(base | changes))

    return make
