"""Tables of benchmark results: means with bootstrap intervals by bin, paired comparisons, CSV, Markdown and LaTeX.

Means ignore items without a number, as officially; the share of items that have one ("done") stands beside every mean.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mfnet.datasets.facescape import LAB_BINS, LAB_FOCALS, WILD_BINS
from mfnet.errors import InputError

METRICS = ("CD", "MNE", "CR")
DIGITS = {"CD": 3, "MNE": 3, "CR": 3, "done": 3}
ALL = "all"
FOCAL_BINS = tuple(f"f={focal:.0f}" for focal in LAB_FOCALS)
BINS = {"fswild": (ALL, *WILD_BINS), "fslab": (ALL, *LAB_BINS, *FOCAL_BINS)}
"""The groups of each data set, in the tables' order: all items; |yaw| (wild) or angle (lab); focal length (lab)."""
PUBLISHED_SET = "FaceScape"
"""Name of the real data set; a table never puts numbers of another set under it."""


def in_bins(scores: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """(bin, its rows) of one data set's scores, in the tables' order; a bin without rows is left out."""
    dataset = scores["dataset"].iloc[0]
    for name in BINS[dataset]:
        if name == ALL:
            rows = scores
        elif name in FOCAL_BINS:
            rows = scores[scores["focal"] == FOCAL_BINS.index(name)]
        else:
            rows = scores[scores["bin"] == name]
        if len(rows):
            yield name, rows


def bootstrap_interval(values: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of `values` [N] over resampled items; NaN for no value."""
    if len(values) == 0:
        return float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    means = np.array([values[generator.integers(0, len(values), len(values))].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def summarise(scores: pd.DataFrame, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """One row for each data set, method and bin.

    scores: rows of `mfnet.evaluation.score` (one an item). Columns of the result: dataset, method, bin, items (rows),
    done (share with a CD), and for each of CD, MNE, CR the mean (``CD``), ``CD_median``, ``CD_low`` and ``CD_high``
    (95 % bootstrap over items). `views`, where the scores have it, is the number of views used.
    """
    rows = []
    for (dataset, method), group in scores.groupby(["dataset", "method"], sort=True, observed=True):
        for name, part in in_bins(group):
            row = {"dataset": dataset, "method": method, "bin": name, "items": len(part)}
            row["done"] = float(part["CD"].notna().mean())
            if "n_views" in part:
                row["views"] = int(part["n_views"].max())
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
    """`compare_methods` for every data set, bin and metric."""
    rows = []
    for dataset, group in scores[scores["method"].isin([first, second])].groupby("dataset", sort=True, observed=True):
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
    return table[keys].to_dict("records")


def wide_table(summary: pd.DataFrame, dataset: str, local_set: str, published: pd.DataFrame | None = None):
    """One row a method, columns (set, bin, metric); `done` beside each mean.

    summary: rows of `summarise`, measured on the set named `local_set`. published: rows of
    `mfnet.evaluation.published.published_means`, shown under ``FaceScape`` and marked ``(published VERSION)``.
    Only where `local_set` is ``FaceScape`` itself do the two share columns.
    """
    parts = [summary[summary["dataset"] == dataset].assign(set=local_set)]
    if published is not None:
        rows = published[published["dataset"] == dataset].assign(set=PUBLISHED_SET)
        marked = rows["method"].astype(str) + " (published " + rows["version"].astype(str) + ")"
        parts.append(rows.assign(method=marked))
    table = pd.concat([part[["set", "method", "bin", *METRICS, "done"]] for part in parts], ignore_index=True)
    if table.empty:
        raise InputError(f"no scores of {dataset}")
    long = table.melt(id_vars=["set", "method", "bin"], var_name="metric", value_name="value")
    wide = long.pivot(index="method", columns=["set", "bin", "metric"], values="value")
    order = [
        (name, bin_name, metric)
        for name in dict.fromkeys(table["set"])
        for bin_name in BINS[dataset]
        for metric in (*METRICS, "done")
        if (name, bin_name, metric) in wide.columns
    ]
    return wide.reindex(index=list(dict.fromkeys(table["method"])), columns=pd.MultiIndex.from_tuples(order))


def _cells(wide: pd.DataFrame) -> list[list[str]]:
    digits = [DIGITS[metric] for _, _, metric in wide.columns]
    return [
        [str(method)] + ["–" if np.isnan(value) else f"{value:.{n}f}" for value, n in zip(row, digits, strict=True)]
        for method, row in zip(wide.index, wide.to_numpy(), strict=True)
    ]


def to_markdown(wide: pd.DataFrame) -> str:
    """A pipe table, one heading a column: ``set · bin · metric``."""
    heading = ["method", *(" · ".join(column) for column in wide.columns)]
    lines = [heading, ["---", *("---:" for _ in wide.columns)], *_cells(wide)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def to_latex(wide: pd.DataFrame) -> str:
    """A booktabs ``tabular`` with the set, the bin and the metric in three heading rows."""
    lines = [f"\\begin{{tabular}}{{l{'r' * wide.shape[1]}}}", "\\toprule"]
    lines += [_spanned([column[:level] for column in wide.columns]) for level in (1, 2)]
    lines += [" & ".join(["method", *(column[2] for column in wide.columns)]) + r" \\", "\\midrule"]
    lines += [" & ".join(_escaped(cell) for cell in row) + r" \\" for row in _cells(wide)]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def _spanned(labels: list[tuple[str, ...]]) -> str:
    """A heading row in which equal neighbours share one cell."""
    cells, start = [""], 0
    for end in range(1, len(labels) + 1):
        if end == len(labels) or labels[end] != labels[start]:
            cells.append(f"\\multicolumn{{{end - start}}}{{c}}{{{_escaped(labels[start][-1])}}}")
            start = end
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    for character in "&%$#_":
        text = text.replace(character, "\\" + character)
    return text.replace("–", "--")


def to_csv(wide: pd.DataFrame) -> str:
    """Comma-separated values in full precision, one heading a column: ``set/bin/metric``."""
    flat = wide.copy()
    flat.columns = ["/".join(column) for column in wide.columns]
    return flat.to_csv(index_label="method", float_format="%.9g")


FORMATS = {"csv": to_csv, "md": to_markdown, "tex": to_latex}
