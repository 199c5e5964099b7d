"""`mfnet assets` as a user calls it."""

import hashlib
from dataclasses import replace

import pytest

from mfnet import assets
from mfnet.assets import Asset, Owner, Package
from mfnet.cli.main import main

CONTENT = b"weights"
FREE = Asset("a.task", "a test", "CC0", "any", (Package("p==1", "a.task"),), hashlib.sha256(CONTENT).hexdigest(), 7)
LICENSED = Asset("b.pkl", "a head", "its owner's", "research", (Owner("https://owner.example", "flame.model"),))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "ASSETS", (FREE, LICENSED))
    monkeypatch.setattr(assets, "from_package", lambda requirement, member, size: CONTENT)
    monkeypatch.setenv(assets.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def run(*words: str) -> None:
    main(["assets", *words])


def test_the_list_says_what_is_here_and_how_the_rest_is_had(folder, capsys):
    run()
    listed = capsys.readouterr().out
    assert str(folder) in listed and "a.task  missing" in listed and "mfnet assets get a.task" in listed
    assert "b.pkl  yours" in listed and "https://owner.example" in listed and "research" in listed
    run("get")
    capsys.readouterr()
    run()
    assert "a.task  here" in capsys.readouterr().out


def test_get_fetches_the_free_ones_and_says_where_they_are(folder, capsys):
    run("get")
    assert capsys.readouterr().out == f"a.task: {folder / 'a.task'}\n"
    assert [path.name for path in folder.iterdir()] == ["a.task"]


def test_what_is_had_by_name_alone_is_fetched_by_name_alone(folder, monkeypatch, capsys):
    monkeypatch.setattr(assets, "ASSETS", (FREE, replace(FREE, name="c.pth", by_name=True)))
    run("get")
    assert capsys.readouterr().out == f"a.task: {folder / 'a.task'}\n"
    run("get", "c.pth")
    assert capsys.readouterr().out == f"c.pth: {folder / 'c.pth'}\n"


def test_a_file_that_the_user_brings_needs_its_name(folder):
    with pytest.raises(SystemExit, match="say which file it is"):
        run("get", "--from", "x")


@pytest.mark.parametrize(("words", "said"), [(["b.pkl"], "not here: b.pkl"), (["c"], "c: no such asset")])
def test_what_cannot_be_fetched_is_status_1(words, said):
    with pytest.raises(SystemExit, match=said):
        run("get", *words)


def test_a_source_that_fails_is_one_line_and_status_1(folder, monkeypatch, capsys):
    monkeypatch.setattr(assets, "from_package", lambda requirement, member, size: b"another")
    with pytest.raises(SystemExit, match=r"not here: a\.task"):
        run("get")
    said = capsys.readouterr().err
    assert "a.task cannot be had" in said and "--from PATH" in said and said.count("\n") == 1
