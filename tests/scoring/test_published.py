import pandas as pd
import pytest

from mfnet.errors import InputError
from mfnet.scoring import published
from mfnet.scoring.published import DISCREPANCIES, means_of_samples, published_means


def test_the_committed_means_are_those_of_the_samples(shared):
    samples = pd.read_parquet(shared / "published/published_per_sample.parquet")
    rebuilt = means_of_samples(samples).reset_index(drop=True)
    pd.testing.assert_frame_equal(rebuilt, published._committed(), rtol=1e-8)


def test_there_are_fourteen_methods_and_every_bin():
    wild, lab = published_means(dataset="fswild"), published_means(dataset="fslab")
    assert wild["method"].nunique() == lab["method"].nunique() == 14
    assert (wild.groupby("method").size() == 5).all() and (lab.groupby("method").size() == 7).all()
    assert set(wild["version"]) == {"2021-12"} and set(lab["version"]) == {"both"}
    assert wild["source"].str.len().min() > 0


@pytest.mark.parametrize(
    ("method", "bin_name", "metric", "printed"),
    [  # a few cells of the paper's Table 1 as samples; the whole table is not ours to carry
        ("DF2Net", "5-30", "CD", 4.206),
        ("DECA", "0-5", "CD", 2.878),
        ("3DDFA_V2", "60-90", "CD", 3.671),
    ],
)
def test_cells_follow_by_rounding_or_truncation(method, bin_name, metric, printed):
    table = published_means(dataset="fswild").set_index(["method", "bin"])
    assert abs(table.loc[(method, bin_name), metric] - printed) < 1e-3


def test_the_cells_that_do_not_follow_are_reported():
    table = published_means(dataset="fswild").set_index(["method", "bin"])
    assert len(DISCREPANCIES) == 3
    for method, bin_name, metric, printed, mean in DISCREPANCIES:
        assert table.loc[(method, bin_name), metric] == pytest.approx(mean, abs=5e-5)
        assert abs(mean - printed) > 0.005
        assert any(method in note and str(printed) in note for note in published.NOTES)


def test_missing_rows_count_as_not_done():
    table = published_means("2023-10", "fswild").set_index(["method", "bin"])
    assert table.loc[("DF2Net", "all"), "items"] == 400 and table.loc[("DF2Net", "all"), "done"] == 280 / 400
    old = published_means("2021-12", "fswild").set_index(["method", "bin"])
    assert old.loc[("DF2Net", "all"), "done"] == 275 / 400


def test_an_unknown_version_is_one_line():
    with pytest.raises(InputError, match="known: 2021-12, 2023-10"):
        published_means("2022")
