"""The few figures that one compares from run to run: what ``dvc metrics show`` shows."""

import json
from pathlib import Path

import pandas as pd

METHODS = ("mean_head", "mfnet_1", "mfnet_3", "mfnet_3_refined")
"""The baseline, one view, three views, and fitted: those of them that a protocol has."""


def headline(rows: pd.DataFrame, data: Path) -> dict[str, dict[str, float | None]]:
    """Protocol -> method -> CD, the mean over all items (mm); ``train`` -> how far the landmarks of held-out people are
    off in the end (px of the crop), None where it diverged.

    rows: summary rows (protocol, bin, method, CD).
    """
    figures: dict[str, dict[str, float | None]] = {}
    whole = rows.loc[rows.bin == "all"]
    for row in whole.loc[whole.method.isin(METHODS)].to_dict("records"):
        value = None if row["CD"] != row["CD"] else round(row["CD"], 4)  # NaN is no JSON
        figures.setdefault(row["protocol"], {})[row["method"]] = value
    ended = json.loads((data / "train" / "metrics.json").read_text(encoding="utf-8"))
    return figures | {"train": {"landmark_px": ended["val/landmark_px"]}}
