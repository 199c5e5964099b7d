"""Statistics of benchmark scores: means with bootstrap intervals by bin, and paired comparisons of methods.

Means ignore items without a number, as officially; the share of items that have one ("done") stands beside every mean.
"""

from collections.abc import Iterator
from typing import cast

import numpy as np
import pandas as pd

from mfnet.datasets.facescape import LAB_BINS, LAB_FOCALS, WILD_BINS
from mfnet.errors import InputError

METRICS = ("CD", "MNE", "CR")
ALL = "all"
FOCAL_BINS = tuple(f"f={focal:.0f}" for focal in LAB_FOCALS)
BINS = {"fswild": (ALL, *WILD_BINS), "fslab": (ALL, *LAB_BINS, *FOCAL_BINS)}
"""The groups of each data set, in the tables' order: all items; |yaw| (wild) or angle (lab); focal length (lab)."""
SEED_NOTE = (
    "The bootstrap of every row starts from the same seed: intervals repeat, and those of bins with equally many items "
    "resample the same positions, so they are not independent of each other."
)
"""What a reader of `compare_by_bin`'s table must know."""


def in_bins(scores: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """(bin, its rows) of one data set's scores, in the tables' order; a bin without rows is left out."""
    dataset = scores["dataset"].iloc[0]
    for name in BINS[dataset]:
        if name == ALL:
            rows = scores
        elif name in FOCAL_BINS:
            rows = scores.loc[scores["focal"] == FOCAL_BINS.index(name)]
        else:
            rows = scores.loc[scores["bin"] == name]
        if len(rows):
            yield name, rows


def bootstrap_interval(values: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of `values` [N] over resampled items; NaN for no value."""
    if len(values) == 0:
        return float("nan"), float("nan")
    chosen = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    means = values[chosen].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def summarise(scores: pd.DataFrame, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """One row for each data set, method and bin.

    scores: rows of `mfnet.scoring.score` (one an item). Columns of the result: dataset, method, bin, items (rows),
    done (share with a CD), and for each of CD, MNE, CR the mean (``CD``), ``CD_median``, ``CD_low`` and ``CD_high``
    (95 % bootstrap over items). `views`, where the scores have it, is the number of views used.
    """
    rows = []
    for key, group in scores.groupby(["dataset", "method"], sort=True, observed=True):
        dataset, method = cast(tuple[str, str], key)
        for name, part in in_bins(group):
            row = {"dataset": dataset, "method": method, "bin": name, "items": len(part)}
            row["done"] = float(part.loc[:, "CD"].notna().mean())
            if "n_views" in part:
                row["views"] = int(part.loc[:, "n_views"].max())
            for metric in METRICS:
                values = part[metric].dropna().to_numpy()
                row[metric] = float(values.mean()) if len(values) else float("nan")
                row[f"{metric}_median"] = float(np.median(values)) if len(values) else float("nan")
                row[f"{metric}_low"], row[f"{metric}_high"] = bootstrap_interval(values, resamples, seed)
            rows.append(row)
    return pd.DataFrame(rows)


def compare_methods(
    scores: pd.DataFrame, first: str, second: str, metric: str = "CD", resamples: int = 1000, seed: int = 0
) -> dict:
    """Paired comparison of two methods on the items of one data set that both have a number for.

    Keys: first, second (names), metric, items, mean_first, mean_second, difference (first - second) with its 95 %
    bootstrap interval low .. high, and share_better: the share of items on which `first` is better (less CD and MNE,
    more CR). Raises InputError for a method that has no rows.
    """
    known = sorted(set(scores["method"]))
    for method in (first, second):
        if method not in known:
            raise InputError(f"method {method}: not in these scores; there are {', '.join(known)}")
    table = scores.pivot(index="index", columns="method", values=metric)
    one, two = table[[first, second]].dropna().to_numpy().T
    low, high = bootstrap_interval(one - two, resamples, seed)
    better = one > two if metric == "CR" else one < two
    figures = [float(values.mean()) if len(values) else float("nan") for values in (one, two, one - two, better)]
    return {
        "first": first,
        "second": second,
        "metric": metric,
        "items": len(one),
        "mean_first": figures[0],
        "mean_second": figures[1],
        "difference": figures[2],
        "low": low,
        "high": high,
        "share_better": figures[3],
    }


def compare_by_bin(scores: pd.DataFrame, first: str, second: str, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """`compare_methods` for every data set, bin and metric, each with the same seed (`SEED_NOTE`)."""
    rows = []
    both = scores.loc[scores["method"].isin([first, second])]
    for dataset, group in both.groupby("dataset", sort=True, observed=True):
        for name, part in in_bins(group):
            for metric in METRICS:
                row = compare_methods(part, first, second, metric, resamples, seed)
                rows.append({"dataset": dataset, "bin": name, **row})
    return pd.DataFrame(rows)


def summary_rows(scores: pd.DataFrame, resamples: int = 1000, seed: int = 0) -> list[dict]:
    """`summarise` for a report: keys protocol, bin, method, views, CD, CD_low, CD_high, MNE, CR, items, done."""
    table = summarise(scores, resamples, seed)
    table["protocol"] = table["dataset"].str.removeprefix("fs")
    table["views"] = table.get("views", pd.Series(1, index=table.index))
    keys = ["protocol", "bin", "method", "views", "CD", "CD_low", "CD_high", "MNE", "CR", "items", "done"]
    return table.loc[:, keys].to_dict("records")
