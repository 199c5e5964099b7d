"""No file ends a run, none runs code: every reader of foreign files against damaged and hostile ones.

`python -m benchmarks.fuzz` tries many more.
"""

import pytest

from tests.hostile.readers import READERS
from tests.hostile.trial import RIGHT, attempt, fixed_files, hostile_files

CASES = 60
"""Of each reader: about 2,000 in all."""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


@pytest.mark.parametrize("name", READERS)
def test_good_files_are_read(folder, name):
    outcome = attempt(name, READERS[name].files(), folder)
    assert outcome.kind == "read", outcome


@pytest.mark.parametrize("name", READERS)
def test_hostile_files_are_read_or_refused_in_one_line(folder, name):
    outcomes = {number: attempt(name, hostile_files(name, number), folder) for number in range(CASES)}
    wrong = {number: outcome for number, outcome in outcomes.items() if outcome.kind not in RIGHT}
    assert not wrong, wrong
    assert any(outcome.kind == "refused" for outcome in outcomes.values())


@pytest.mark.parametrize("name", [name for name, reader in READERS.items() if reader.fixed("")])
def test_files_that_would_run_code_or_grow_are_refused(folder, name):
    for files in fixed_files(name, folder):
        outcome = attempt(name, files, folder)
        assert outcome.kind in RIGHT, outcome


def test_the_same_number_is_the_same_file():
    assert all(hostile_files(name, 7) == hostile_files(name, 7) for name in READERS)
