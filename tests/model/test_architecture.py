"""Files keep the spelling that the shipped weights have, and are read back as params."""

import pytest

from mfnet.errors import InputError
from mfnet.io.tensors import read_tensors
from mfnet.model.architecture import architecture_metadata, stored_architecture
from mfnet.weights import bundled
from tests.settings import EMBEDDED


@pytest.mark.parametrize(("pooling", "head"), [("global_average", "pool"), ("spatial", "flat")])
def test_files_spell_pooling_as_they_always_did(small, pooling, head):
    params = small(pooling=pooling)
    stored = architecture_metadata(params)
    assert stored == {
        "backbone": "resnet18",
        "width": 0.25,
        "head": head,
        "fusion": "concat",
        "views": 3,
        "n_albedo": 50,
    }
    assert stored_architecture({"model": stored}, "x") == params


def test_the_shipped_weights_are_of_the_embedded_architecture():
    path = bundled("encoder")
    _, metadata = read_tensors(path, "encoder")
    params = stored_architecture(metadata, path)
    assert architecture_metadata(params) == metadata["model"]
    assert params.model_copy(update={"fusion": "set"}) == EMBEDDED.model


@pytest.mark.parametrize("metadata", [{}, {"model": {"backbone": "resnet18"}}, {"model": {"head": "round"}}])
def test_metadata_without_an_architecture_is_named(metadata):
    with pytest.raises(InputError, match=r"^weights\.safetensors: metadata names no architecture of ours: model\."):
        stored_architecture(metadata, "weights.safetensors")
