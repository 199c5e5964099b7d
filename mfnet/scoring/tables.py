"""Tables of benchmark results beside the published ones, as CSV, Markdown and LaTeX."""

import numpy as np
import pandas as pd

from mfnet.errors import InputError
from mfnet.scoring.statistics import BINS, METRICS

DIGITS = {"CD": 3, "MNE": 3, "CR": 3, "done": 3}
PUBLISHED_SET = "FaceScape"
"""Name of the real data set; a table never puts numbers of another set under it."""


def wide_table(
    summary: pd.DataFrame, dataset: str, local_set: str, published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row a method, columns (set, bin, metric); `done` beside each mean.

    summary: rows of `summarise`, measured on the set named `local_set`. published: rows of
    `mfnet.scoring.published.published_means`, shown under ``FaceScape`` and marked ``(published VERSION)``.
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
