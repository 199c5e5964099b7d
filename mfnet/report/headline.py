"""The few figures that one compares from run to run: what ``dvc metrics show`` shows."""

import json
from pathlib import Path

import pandas as pd

METHODS = {"lab": ("mean_head", "mfnet_3", "mfnet_3_refined"), "wild": ("mean_head", "mfnet_1")}
"""Protocol -> the baseline, the network, and what is fitted, as far as it has them: a table that fits a screen."""


def headline(rows: pd.DataFrame, data: Path) -> dict[str, object]:
    """Protocol -> method -> CD, the mean over all items (mm); ``landmark_px``: how far the landmarks of held-out people
    are off after training (px of the crop), None where it diverged.

    rows: summary rows (protocol, bin, method, CD).
    """
    figures: dict[str, object] = {}
    for protocol, methods in METHODS.items():
        own = rows.loc[(rows.protocol == protocol) & (rows.bin == "all") & rows.method.isin(methods)]
        if len(own):
            pairs = zip(own["method"], own["CD"], strict=True)
            figures[protocol] = {name: None if value != value else round(value, 4) for name, value in pairs}  # no NaN
    ended = json.loads((data / "train" / "metrics.json").read_text(encoding="utf-8"))
    return figures | {"landmark_px": ended["val/landmark_px"]}
