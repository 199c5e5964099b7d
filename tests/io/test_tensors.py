"""Tensor files: equal contents give equal bytes every time, and half precision only where it belongs."""

import io
import json
import re
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from mfnet.errors import InputError
from mfnet.io.tensors import (
    ENTRY,
    content_hash,
    fill,
    halved,
    load_torch,
    read_metadata,
    read_tensors,
    tensors_of,
    write_tensors,
)


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


def test_a_file_that_asks_for_code_is_refused_by_that_name_and_in_our_words(tmp_path, capsys, recwarn):
    torch.save({"x": Code()}, tmp_path / "a.pt")
    with pytest.raises(InputError) as caught:
        load_torch(tmp_path / "a.pt", "fetch it again")
    message = str(caught.value)
    assert re.search(r"it asks for \w+\.print", message)
    assert "weights_only" not in message and "trust" not in message and "\n" not in message
    assert not recwarn.list and not capsys.readouterr().err


def test_packed_records_are_refused(tmp_path):
    """A gigabyte of zeros in a megabyte: torch itself packs nothing."""
    buffer = io.BytesIO()
    torch.save({"x": torch.zeros(1 << 20)}, buffer)
    with zipfile.ZipFile(buffer) as plain, zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for record in plain.infolist():
            packed.writestr(record.filename, plain.read(record))
    with pytest.raises(InputError, match="records are packed"):
        load_torch(tmp_path / "a.pt", "fetch it again")


@pytest.mark.parametrize(
    "value",
    [None, 3, [1], {"a": 3}, {3: torch.ones(2)}, {"a": torch.ones(1).expand(1 << 40)}, {"a": torch.eye(3).to_sparse()}],
)
def test_what_is_no_dictionary_of_plain_tensors_is_named(value):
    with pytest.raises(InputError, match=r"a\.pt: weights"):
        tensors_of(value, "a.pt", "weights")


METADATA = {
    "a list": [],
    "a number": 3,
    "no kind": {},
    "another kind": {"kind": "y"},
    "a kind that is none": {"kind": 3},
    "a long kind": {"kind": "x" * 1000},
    "updates without end": {"kind": "x", "updates": 10**9},
    "updates of text": {"kind": "x", "updates": "12"},
    "a large factor": {"kind": "x", "enlarge": 10**6},
    "negative counts": {"kind": "x", "n_shape": -1},
    "a hash that is none": {"kind": "x", "head_hash": ["a"]},
    "a model that is none": {"kind": "x", "model": [1]},
    "a content hash that is none": {"kind": "x", "content_hash": 3},
    "a content hash of something else": {"kind": "x", "content_hash": "0" * 64},
    "a licence without end": {"kind": "x", "head_licence": "x" * 2001},
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_of_another_form_are_refused(tmp_path, name):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(2)}, path, metadata={ENTRY: json.dumps(METADATA[name])})
    with pytest.raises(InputError, match=r"^\S*a\.safetensors: (metadata|holds|its content)"):
        read_tensors(path, "x")


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "", "nul", "9" * 10_000])
def test_metadata_that_are_no_json_are_refused(tmp_path, text):
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors", metadata={ENTRY: text})
    with pytest.raises(InputError, match=r"a\.safetensors: metadata: not JSON"):
        read_tensors(tmp_path / "a.safetensors", "x")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1j])
def test_weights_that_are_not_finite_are_refused(value):
    module = torch.nn.Linear(2, 2)
    state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    state["bias"] = torch.full((2,), value)
    with pytest.raises(InputError, match="tensor bias holds values that are not finite"):
        fill(module, state, "a.safetensors")


def test_a_changed_tensor_or_metadata_shows(tmp_path):
    """One bit anywhere behind the header, and every value in the metadata, is under the hash."""
    path, metadata = tmp_path / "a.safetensors", {"kind": "x", "n_shape": 3}
    write_tensors({"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(True)}, path, metadata)
    assert read_tensors(path, "x")[1] == read_metadata(path, "x") == metadata
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[-9] ^= 1
    for content in (bytes(flipped), good.replace(b'\\"n_shape\\": 3', b'\\"n_shape\\": 4')):
        assert content != good
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.safetensors: its content is not what its hash says"):
            read_tensors(path, "x")


def test_a_file_of_before_the_hash_is_read(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors", metadata={ENTRY: json.dumps({"kind": "x"})})
    state, metadata = read_tensors(tmp_path / "a.safetensors", "x")
    assert torch.equal(state["a"], torch.ones(2)) and metadata == {"kind": "x"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.uint8])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_the_hash_is_of_names_types_shapes_and_values(dtype, shape):
    tensor = torch.ones(shape, dtype=dtype)
    hashes = [
        content_hash(tensors, metadata)
        for tensors, metadata in (
            ({"a": tensor}, {}),
            ({"b": tensor}, {}),
            ({"a": tensor[None]}, {}),
            ({"a": torch.ones(shape, dtype=torch.float32)}, {}),
            ({"a": tensor}, {"kind": "x"}),
        )
    ]
    assert len(set(hashes)) == len(hashes) and hashes[0] == content_hash({"a": tensor.clone()}, {})


def test_a_file_that_may_not_be_read_is_not_called_missing(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    write_tensors({"a": torch.ones(2)}, path, {"kind": "x"})

    def refuse(*arguments, **options):
        raise FileNotFoundError  # as safetensors does; root may read everything

    monkeypatch.setattr("mfnet.io.tensors.safe_open", refuse)
    with pytest.raises(InputError, match=r"a\.safetensors: cannot be read"):
        read_tensors(path, "x")
    with pytest.raises(InputError, match=r"b\.safetensors: no such file"):
        read_tensors(tmp_path / "b.safetensors", "x")
