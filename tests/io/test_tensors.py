"""Tensor files: equal contents give equal bytes every time, and half precision only where it belongs."""

import torch

from mfnet.io.tensors import halved, read_tensors, write_tensors


def test_equal_contents_give_equal_bytes(tmp_path):
    """safetensors hashes metadata keys anew for each file: with several keys, ten files would differ."""
    contents = set()
    for index in range(10):
        path = tmp_path / f"{index}.safetensors"
        tensors = {"b": torch.ones(3), "a": torch.zeros(2)}
        write_tensors(tensors, path, {"kind": "x", "n": 1, "z": "z", "y": [1, 2]})
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_half_precision_for_matrices_only(tmp_path):
    state = {"weight": torch.rand(4, 4), "bias": torch.rand(4), "count": torch.tensor(3)}
    write_tensors(halved(state), tmp_path / "a.safetensors", {"kind": "x"})
    read, metadata = read_tensors(tmp_path / "a.safetensors", "x")
    assert metadata == {"kind": "x"}
    assert torch.equal(read["bias"], state["bias"]) and torch.equal(read["count"], state["count"])
    assert not torch.equal(read["weight"], state["weight"])
    torch.testing.assert_close(read["weight"], state["weight"], rtol=1e-3, atol=0)
