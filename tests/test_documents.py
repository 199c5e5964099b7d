"""The documents: no line wider than the code's."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "data" / "README.md"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_line_is_over_120_columns(path):
    lines = path.read_text(encoding="utf-8").split("\n")
    wide = [f"{path.name}:{number}" for number, line in enumerate(lines, 1) if len(line) > 120]
    assert not wide
