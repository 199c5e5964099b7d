import pytest
import torch

from mfnet.errors import InputError
from mfnet.io.checkpoints import Checkpoints, run_key


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    kept = Checkpoints(tmp_path, "key")
    assert kept.load() is None
    kept.save({"weights": torch.arange(3.0), "step": 4, "history": [{"total": 0.5}]})
    state = kept.load()
    assert (
        torch.equal(state["weights"], torch.arange(3.0)) and state["step"] == 4 and state["history"] == [{"total": 0.5}]
    )
    assert [path.name for path in kept.folder.iterdir()] == ["last.pt"]
    kept.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    kept = Checkpoints(tmp_path, "key")
    kept.save({"step": 1})

    def half(state, file):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="no space"):
        kept.save({"step": 2})
    monkeypatch.undo()
    assert kept.load() == {"step": 1} and [path.name for path in kept.folder.iterdir()] == ["last.pt"]


def test_a_damaged_checkpoint_is_named(tmp_path):
    kept = Checkpoints(tmp_path, "key")
    kept.save({"step": 1})
    kept.path.write_bytes(kept.path.read_bytes()[:40])
    with pytest.raises(InputError, match=r"last\.pt: not a torch file .* remove .*key to start over"):
        kept.load()


def test_the_key_follows_settings_and_the_content_of_inputs(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("one")
    second.write_text("two")
    key = run_key({"lr": 0.1}, [first, second])
    assert run_key({"lr": 0.1}, [first, second]) == key
    assert run_key({"lr": 0.2}, [first, second]) != key
    second.write_text("three")
    assert run_key({"lr": 0.1}, [first, second]) != key
    with pytest.raises(InputError, match="missing: cannot be read"):
        run_key({}, [tmp_path / "missing"])
