"""Published results of 14 methods on the real FaceScape benchmark, carried as a small table of means.

``published_means.csv`` is made from the benchmark authors' per-sample results by the same code that makes our own
tables (`means_of_samples`). Two versions are known: 2021-12 and 2023-10; the wild set changed between them, the lab did
not (its version is ``both``).
"""

from functools import cache
from pathlib import Path
from typing import cast

import pandas as pd

from mfnet.datasets.facescape import (
    LAB_VIEWS,
    LAB_VIEWS_PER_SUBJECT,
    WILD_BINS,
    WILD_ITEMS,
    lab_bin,
    lab_name,
)
from mfnet.errors import InputError
from mfnet.scoring.statistics import METRICS, in_bins

SOURCE = "FaceScape benchmark, authors' per-sample results"
VERSIONS = ("2021-12", "2023-10")
COLUMNS = ("source", "version", "dataset", "method", "bin", *METRICS, "items", "done")
ITEMS = {"fswild": WILD_ITEMS, "fslab": 20 * LAB_VIEWS_PER_SUBJECT}

DISCREPANCIES = (
    # method, bin, metric, printed in Table 1, mean of the 2021-12 samples
    ("extreme3dface", "5-30", "CD", 5.512, 5.5176),
    ("DFDN", "0-5", "CD", 3.67, 3.6627),
    ("DF2Net", "5-30", "CR", 0.56, 0.5531),
)
"""The 3 of 168 cells of the MFNet paper's Table 1 that do not follow from the 2021-12 results."""

NOTES = (
    "Table 1 of the MFNet paper follows from the 2021-12 results in 165 of 168 cells, by rounding or truncation; "
    + "; ".join(f"{m} {b} {k}: printed {p}, mean {v}" for m, b, k, p, v in DISCREPANCIES)
    + ". From the 2023-10 results only 95 cells follow.",
    "Table 2 of the MFNet paper (facescape-lab) does not follow from the published lab results by any choice of focal "
    "lengths and views; its DECA MNE of 0.16 lies above every published item. It is the authors' own, unstated "
    "protocol.",
    "DF2Net 2023-10 has 374 of 400 rows: 26 are missing and the later indices are shifted, so its bins are not those "
    "of the other methods; the missing rows count as not done.",
)
"""What a reader of the published numbers must know; shown wherever they are."""


@cache
def _committed() -> pd.DataFrame:
    table = pd.read_csv(Path(__file__).with_name("published_means.csv"), dtype={"version": str, "bin": str})
    return table.loc[:, list(COLUMNS)]


def published_means(version: str = "2021-12", dataset: str | None = None) -> pd.DataFrame:
    """Means by method and bin of one version: columns `COLUMNS`. CD in mm, MNE in rad, CR and done 0..1.

    Raises InputError for an unknown version.
    """
    if version not in VERSIONS:
        raise InputError(f"published version {version}: unknown; known: {', '.join(VERSIONS)}")
    table = _committed()
    table = table.loc[table["version"].isin([version, "both"])]
    if dataset is not None:
        table = table.loc[table["dataset"] == dataset]
    return table.reset_index(drop=True)


def means_of_samples(samples: pd.DataFrame) -> pd.DataFrame:
    """Per-sample results (version, dataset, method, index, CD, MNE, CR) to means, columns `COLUMNS`.

    ``published_means.csv`` is its result, written with nine significant digits.
    `done` is the share of the benchmark's items, not of the rows that happen to be there.
    """
    rows = []
    keys = samples.astype({"version": str, "dataset": str, "method": str})
    for key, group in keys.groupby(["version", "dataset", "method"], sort=True):
        version, dataset, method = cast(tuple[str, str, str], key)
        everything = pd.DataFrame({"index": range(ITEMS[dataset])}).merge(group, "left", "index")
        for name, part in in_bins(_with_bins(everything.assign(dataset=dataset))):
            means = {metric: float(part.loc[:, metric].mean()) for metric in METRICS}
            row = {"source": SOURCE, "version": version, "dataset": dataset, "method": method, "bin": name}
            rows.append(row | means | {"items": len(part), "done": float(part.loc[:, "CD"].notna().mean())})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _with_bins(samples: pd.DataFrame) -> pd.DataFrame:
    """The same rows with the columns bin and focal that a scored item has."""
    index = samples["index"]
    if samples["dataset"].iloc[0] == "fswild":
        bins = [WILD_BINS[i // (WILD_ITEMS // len(WILD_BINS))] for i in index]
        return samples.assign(bin=bins, focal=-1)
    views = index % len(LAB_VIEWS)
    focal = index % LAB_VIEWS_PER_SUBJECT // len(LAB_VIEWS)
    return samples.assign(bin=[lab_bin(view) for view in views], focal=focal, name=[lab_name(i) for i in index])
