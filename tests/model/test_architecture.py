"""Files hold the architecture as params have it, and are read back as params."""

import pytest

from mfnet.errors import InputError
from mfnet.io.tensors import read_tensors
from mfnet.model.architecture import architecture_metadata, stored_architecture
from mfnet.weights import bundled
from tests.settings import EMBEDDED


@pytest.mark.parametrize("pooling", ["global_average", "spatial"])
def test_an_architecture_comes_back_from_metadata(small, pooling):
    params = small(pooling=pooling)
    assert stored_architecture({"model": architecture_metadata(params)}, "x") == params


def test_the_shipped_weights_are_of_the_embedded_architecture():
    path = bundled("encoder")
    _, metadata = read_tensors(path, "encoder")
    params = stored_architecture(metadata, path)
    assert architecture_metadata(params) == metadata["model"]
    assert params.model_copy(update={"fusion": "set"}) == EMBEDDED.model


@pytest.mark.parametrize("metadata", [{}, {"model": {"backbone": "resnet18"}}, {"model": {"pooling": "round"}}])
def test_metadata_without_an_architecture_is_named(metadata):
    with pytest.raises(InputError, match=r"^weights\.safetensors: metadata names no architecture of ours: model\."):
        stored_architecture(metadata, "weights.safetensors")
