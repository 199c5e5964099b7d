"""The paper's Table 1, cell by cell, against the means of the published per-sample results."""

import math
import re

import pytest

from mfnet.scoring.published import DISCREPANCIES, published_means

BINS, METRICS = ("0-5", "5-30", "30-60", "60-90"), ("CD", "MNE", "CR")


@pytest.fixture(scope="module")
def printed(shared) -> dict[tuple[str, str, str], str]:
    """(method, bin, metric) -> the cell as it is printed, for the 14 methods that others published."""
    text = (shared / "PAPER.txt").read_text()
    rows = text[text.index("methods\t0-5") :].split("\n")[2:16]
    cells = {}
    for row in rows:
        name, *values = re.split(r"\s+", row.strip())
        name = re.sub(r"\[.*", "", name)
        cells |= {(name, BINS[i // 3], METRICS[i % 3]): value for i, value in enumerate(values)}
    assert len(cells) == 168
    return cells


def follows(cell: str, mean: float) -> bool:
    """Whether the cell is the mean, rounded or cut off at the digits that are printed."""
    scale = 10 ** len(cell.split(".")[1])
    return any(
        abs(part / scale - float(cell)) < 1e-9 for part in (round(mean * scale), math.floor(mean * scale + 1e-9))
    )


@pytest.mark.parametrize(("version", "count"), [("2021-12", 165), ("2023-10", 95)])
def test_as_many_cells_follow_as_should(printed, version, count):
    means = published_means(version, "fswild").set_index(["method", "bin"])
    wrong = {key for key, cell in printed.items() if not follows(cell, means.loc[key[:2], key[2]])}
    assert len(printed) - len(wrong) == count
    if version == "2021-12":
        assert wrong == {row[:3] for row in DISCREPANCIES}
