"""A flipped byte in the cache is found, also where the object is read-only."""

import hashlib
from pathlib import Path

import pytest

from mfnet.cli.audit import damaged_objects
from mfnet.cli.main import main
from mfnet.errors import InputError


@pytest.fixture
def cache(tmp_path):
    for content, suffix in ((b"one", ""), (b"two", ""), (b"[]", ".dir")):
        md5 = hashlib.md5(content).hexdigest()
        path = tmp_path / "md5" / md5[:2] / f"{md5[2:]}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "md5"


def test_a_whole_cache_passes(cache):
    assert damaged_objects(cache) == ([], 3)


def test_a_flipped_byte_is_found(cache):
    victim = sorted(cache.glob("*/*"))[1]
    content = bytearray(victim.read_bytes())
    content[0] ^= 1
    victim.write_bytes(content)
    victim.chmod(0o444)
    assert damaged_objects(cache) == ([victim], 3)


def test_no_cache_is_named(tmp_path):
    with pytest.raises(InputError, match="no DVC cache"):
        damaged_objects(tmp_path / "none")


def test_verify_ends_with_1_and_names_the_object(cache, monkeypatch, capsys):
    folder = cache.parent
    (folder / ".dvc/cache/files").mkdir(parents=True)
    cache.rename(folder / ".dvc/cache/files/md5")
    monkeypatch.chdir(folder)
    main(["verify"])
    assert capsys.readouterr().out == "3 cached objects are what their names say\n"
    victim = sorted(Path(".dvc/cache/files/md5").glob("*/*"))[0]
    victim.write_bytes(b"other")
    with pytest.raises(SystemExit) as ended:
        main(["verify"])
    assert "1 of 3 cached objects are damaged" in ended.value.code and str(victim) in ended.value.code
