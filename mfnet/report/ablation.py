"""What the ablation says: one row per run, and each variant against the full loss on the same items."""

import json
from pathlib import Path

import pandas as pd

from mfnet.benchmark.names import ABLATION
from mfnet.params import Params
from mfnet.scoring.statistics import bootstrap_interval

FULL = "full"
"""The variant that the others are compared with."""


def ablation_runs(params: Params, data: Path, wild: pd.DataFrame | None) -> pd.DataFrame:
    """One row per variant and seed: whether it diverged, what training ended with, and CD, MNE, CR in wild."""
    rows = []
    for variant in params.ablation.run:
        for seed in params.ablation.seeds:
            name = f"{variant}-{seed}"
            metrics = json.loads((data / "ablation" / name / "metrics.json").read_text())
            row = {"variant": variant, "seed": seed, "diverged": bool(metrics["diverged"])}
            row |= {key: metrics[key] for key in sorted(metrics) if "/" in key}
            if wild is not None:
                own = wild[wild.method == ABLATION + name]
                row |= {metric: own[metric].mean() for metric in ("CD", "MNE", "CR")}
            rows.append(row)
    return pd.DataFrame(rows)


def ablation_differences(params: Params, wild: pd.DataFrame) -> pd.DataFrame:
    """Each variant against FULL: columns variant, seeds, items, CD, spread, difference, low, high, spread_difference.

    CD is the mean over seeds and items in mm. `difference` is variant minus full, paired by seed and item, with the
    95 % bootstrap interval over items of its mean over seeds; `spread` and `spread_difference` are standard deviations
    over seeds of CD and of the difference (NaN for one seed). Items that any run has no number for are left out.
    """
    seeds, names = params.ablation.seeds, params.ablation.run
    if FULL not in names:
        return pd.DataFrame()
    methods = [f"{ABLATION}{name}-{seed}" for name in names for seed in seeds]
    table = wild.pivot(index="index", columns="method", values="CD").loc[:, methods].dropna()
    values = {name: table.loc[:, [f"{ABLATION}{name}-{seed}" for seed in seeds]] for name in names}
    rows = []
    for name in names:
        paired = values[name].to_numpy() - values[FULL].to_numpy()  # [items, seeds]
        low, high = bootstrap_interval(paired.mean(axis=1), params.benchmark.bootstrap, params.benchmark.seed)
        row = {"variant": name, "seeds": len(seeds), "items": len(table), "CD": values[name].to_numpy().mean()}
        row |= {"spread": values[name].mean().std(), "difference": paired.mean(), "low": low, "high": high}
        rows.append(row | {"spread_difference": pd.Series(paired.mean(axis=0)).std()})
    return pd.DataFrame(rows)
