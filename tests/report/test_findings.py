"""The table and the sentences that a report opens with."""

import numpy as np
import pandas as pd
import pytest

from mfnet.report.findings import findings, overview
from mfnet.scoring.statistics import summary_rows

ITEMS = 12


def scores(**errors: float) -> pd.DataFrame:
    """Lab scores of methods whose CD is about what is given, in mm."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, ITEMS)
    parts = [
        pd.DataFrame(
            {
                "dataset": "fslab",
                "method": method,
                "index": range(ITEMS),
                "bin": np.repeat(["0", "30"], ITEMS // 2),
                "focal": 0,
                "CD": error + noise + rng.normal(0, 0.01, ITEMS),
                "MNE": 0.1,
                "CR": 1.0,
            }
        )
        for method, error in errors.items()
    ]
    return pd.concat(parts, ignore_index=True)


def said(table: pd.DataFrame, differences: pd.DataFrame | None = None) -> list[str]:
    return findings(pd.DataFrame(summary_rows(table)), {"lab": table}, differences)


def test_the_best_of_every_column_is_marked():
    table, best = overview(pd.DataFrame(summary_rows(scores(mean_head=2.0, mfnet_1=1.5, mfnet_3=3.0))))
    assert list(table["method"]) == ["mean_head", "mfnet_1", "mfnet_3"]
    assert not best[:, 0].any() and best[1, 1:].all() and best.sum() == table.shape[1] - 1


def test_the_best_answer_is_compared_with_the_mean_head():
    first = said(scores(mean_head=2.0, mfnet_1=1.5, mfnet_3_refined=1.0))[0]
    assert "mfnet_3_refined is nearest" in first and "50% of the mean head's 2.0" in first


@pytest.mark.parametrize(("three", "verdict"), [(1.4, "ahead of"), (1.6, "behind"), (1.5, "level with")])
def test_views_are_compared_item_by_item(three, verdict):
    """The noise that items share is ten times the difference's: unpaired, nothing could be said."""
    assert f"three views are {verdict} one" in said(scores(mean_head=2.0, mfnet_1=1.5, mfnet_3=three))[1]


def test_terms_are_named_only_where_their_interval_excludes_zero():
    rows = [("full", 0.0, 0.0, 0.0), ("no-flow", 0.05, 0.01, 0.09), ("no-lip", 0.01, -0.02, 0.04)]
    differences = pd.DataFrame(rows, columns=["variant", "difference", "low", "high"])
    last = said(scores(mean_head=2.0), differences)[-1]
    assert last.startswith("Of 2 ablations 1 ") and "no-flow +0.050" in last and "no-lip" not in last
    assert said(scores(mean_head=2.0), differences.iloc[[0, 2]])[-1].startswith("None of the 1 ablations")


def test_what_was_not_measured_has_no_sentence():
    assert said(scores(mfnet_3=1.0)) == []
