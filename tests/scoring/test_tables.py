import numpy as np
import pandas as pd
import pytest

from mfnet.errors import InputError
from mfnet.scoring import statistics, tables
from mfnet.scoring.published import published_means


def scores(dataset: str = "fswild", methods=("one", "two"), seed: int = 0) -> pd.DataFrame:
    """Every tenth item, with known numbers; method `two` has no result where the index ends in 50."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, method in enumerate(methods):
        for index in range(0, 400 if dataset == "fswild" else 66, 10 if dataset == "fswild" else 1):
            missing = method == "two" and index % 100 == 50
            bin_name = ("0-5", "5-30", "30-60", "60-90")[index // 100] if dataset == "fswild" else "0"
            if dataset == "fslab":
                bin_name = "0" if index % 11 == 0 else "60" if index % 11 >= 9 else "30"
            rows.append(
                {"dataset": dataset, "method": method, "index": index, "bin": bin_name, "focal": index % 33 // 11}
                | {"CD": np.nan if missing else 2 + number + index / 1000 + 0.01 * rng.normal()}
                | {"MNE": np.nan if missing else 0.1, "CR": np.nan if missing else 0.9 - 0.1 * number}
            )
    return pd.DataFrame(rows)


def test_means_ignore_missing_results_and_done_says_how_many():
    summary = statistics.summarise(scores(), 50).set_index(["method", "bin"])
    assert list(summary.loc["two"].index) == ["all", "0-5", "5-30", "30-60", "60-90"]
    assert summary.loc[("two", "all"), "done"] == pytest.approx(0.9)
    assert summary.loc[("two", "0-5"), "items"] == 10 and summary.loc[("one", "all"), "done"] == 1
    raw = scores().query("method == 'two' and bin == '30-60'")["CD"]
    assert summary.loc[("two", "30-60"), "CD"] == pytest.approx(raw.mean())
    assert summary.loc[("two", "30-60"), "CD_median"] == pytest.approx(raw.median())


def test_lab_is_shown_overall_by_angle_and_by_focal_length():
    summary = statistics.summarise(scores("fslab", ("one",)), 20)
    assert list(summary["bin"]) == ["all", "0", "30", "60", "f=1200", "f=600", "f=300"]
    assert list(summary["items"]) == [66, 6, 48, 12, 22, 22, 22]


def test_the_interval_holds_the_mean_and_is_reproducible():
    values = np.random.default_rng(1).gamma(2, 1, 200)
    low, high = statistics.bootstrap_interval(values, 500, 7)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(200), rel=0.2)
    assert statistics.bootstrap_interval(values, 500, 7) == (low, high)
    assert np.isnan(statistics.bootstrap_interval(values[:0], 10, 0)).all()


def test_the_interval_covers_the_truth_nineteen_times_in_twenty():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        low, high = statistics.bootstrap_interval(rng.normal(3, 1, 60), 200, 0)
        covered += low <= 3 <= high
    assert 0.88 <= covered / 200 <= 0.99


@pytest.mark.parametrize("items", [1, 2, 11, 33, 660])
def test_the_bootstrap_draws_what_one_resample_after_the_other_draws(items):
    """Bit for bit: the intervals of old tables stay."""
    values = np.random.default_rng(items).gamma(2.0, 1.0, items)
    generator = np.random.default_rng(7)
    means = [values[generator.integers(0, items, items)].mean() for _ in range(200)]
    assert statistics.bootstrap_interval(values, 200, 7) == tuple(np.quantile(means, [0.025, 0.975]))


def test_a_paired_comparison_uses_common_items_only():
    row = statistics.compare_methods(scores(), "one", "two", resamples=200)
    assert row["items"] == 36 and row["difference"] == pytest.approx(-1, abs=0.02)
    assert row["low"] < row["difference"] < row["high"] < 0 and row["share_better"] == 1
    assert row["difference"] == pytest.approx(row["mean_first"] - row["mean_second"])
    assert statistics.compare_methods(scores(), "two", "one", "CR")["share_better"] == 0
    by_bin = statistics.compare_by_bin(scores(), "one", "two", 20)
    assert list(by_bin.query("metric == 'CD'")["items"]) == [36, 9, 9, 9, 9]
    with pytest.raises(InputError, match="method three"):
        statistics.compare_methods(scores(), "one", "three")


def test_methods_without_a_common_item_give_nan_not_a_crash():
    table = scores()
    table.loc[table["method"] == "two", "CD"] = np.nan
    row = statistics.compare_methods(table, "one", "two")
    assert row["items"] == 0 and np.isnan(row["difference"]) and np.isnan(row["share_better"])


def test_local_numbers_never_share_a_column_with_the_real_set():
    summary = statistics.summarise(scores(), 10)
    wide = tables.wide_table(summary, "fswild", "synthetic", published_means())
    local, real = wide.xs("synthetic", axis=1), wide.xs("FaceScape", axis=1)
    own = wide.index.isin(["one", "two"])
    assert real[own].isna().all(axis=None) and local[~own].isna().all(axis=None)
    assert own.sum() == 2 and (~own).sum() == 14 and all("(published 2021-12)" in name for name in wide.index[~own])
    together = tables.wide_table(summary, "fswild", "FaceScape", published_means())
    assert set(together.columns.get_level_values(0)) == {"FaceScape"} and not together.isna().any(axis=None)


def test_every_mean_has_its_done_share_beside_it():
    wide = tables.wide_table(statistics.summarise(scores(), 10), "fswild", "set")
    for start in range(0, wide.shape[1], 4):
        assert [metric for _, _, metric in wide.columns[start : start + 4]] == ["CD", "MNE", "CR", "done"]


def test_formats_hold_the_same_cells():
    summary = statistics.summarise(scores(methods=("a_b", "two")), 10)
    wide = tables.wide_table(summary, "fswild", "my & set")
    markdown, latex = tables.to_markdown(wide), tables.to_latex(wide)
    cells = [line.strip("| ").split(" | ") for line in markdown.splitlines()]
    assert len({len(row) for row in cells}) == 1 and len(cells) == 4
    rows = [line.removesuffix(r" \\").split(" & ") for line in latex.splitlines() if line.startswith(("a", "two"))]
    assert rows[0][0] == r"a\_b" and r"my \& set" in latex and [row[1:] for row in rows] == [c[1:] for c in cells[2:]]
    csv = tables.to_csv(wide).splitlines()
    assert csv[0].startswith("method,my & set/all/CD") and float(csv[1].split(",")[1]) == pytest.approx(wide.iloc[0, 0])


def test_summary_rows_are_what_the_report_reads():
    rows = statistics.summary_rows(scores().assign(n_views=3), 10)
    keys = ["protocol", "bin", "method", "views", "CD", "CD_low", "CD_high", "MNE", "CR", "items", "done"]
    assert list(rows[0]) == keys and rows[0]["protocol"] == "wild" and rows[0]["views"] == 3
