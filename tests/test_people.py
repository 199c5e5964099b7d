"""The CSV of many people."""

from pathlib import Path

import pytest

from mfnet.errors import InputError
from mfnet.people import read_people


def written(folder: Path, text: str) -> Path:
    path = folder / "people.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_photographs_are_gathered_by_person_beside_the_file(tmp_path):
    path = written(tmp_path, "person,photograph\nann,a/1.jpg\nbob,b.png\n\nann,a/2.jpg\n")
    assert read_people(path) == {"ann": [tmp_path / "a/1.jpg", tmp_path / "a/2.jpg"], "bob": [tmp_path / "b.png"]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name,file\nann,1.jpg\n", "line 1: the columns are person,photograph"),
        ("", "line 1: the columns"),
        ("person,photograph\n", "no people"),
        ("person,photograph\nann,1.jpg\nann\n", "line 3: a person and a photograph"),
        ("person,photograph\n../ann,1.jpg\n", "line 2: person '../ann' is no plain folder name"),
        ("person,photograph\n..,1.jpg\n", "line 2"),
    ],
)
def test_another_file_is_refused_with_its_line(tmp_path, text, complaint):
    with pytest.raises(InputError, match=complaint):
        read_people(written(tmp_path, text))
