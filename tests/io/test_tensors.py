"""Tensor files: equal contents give equal bytes every time, and half precision only where it belongs."""

import pytest
import torch

from mfnet.errors import InputError
from mfnet.io.tensors import halved, load_torch, read_tensors, write_tensors


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


class Code:
    def __reduce__(self):
        return print, ("this ran",)


@pytest.mark.parametrize("content", ["none", "empty", "half", "code"])
def test_a_torch_file_that_cannot_be_used_is_named_with_its_remedy(tmp_path, capsys, content):
    path = tmp_path / "a.pt"
    if content != "none":
        torch.save({"x": Code() if content == "code" else torch.ones(500)}, path)
    if content in ("empty", "half"):
        path.write_bytes(path.read_bytes()[: {"empty": 0, "half": 900}[content]])
    with pytest.raises(InputError, match=r"a\.pt: (no such file|not a torch file of plain tensors).*; fetch it again"):
        load_torch(path, "fetch it again")
    assert "this ran" not in capsys.readouterr().out


def test_plain_tensors_come_back(tmp_path):
    torch.save({"x": torch.ones(5), "step": 3}, tmp_path / "a.pt")
    found = load_torch(tmp_path / "a.pt", "")
    assert torch.equal(found["x"], torch.ones(5)) and found["step"] == 3
