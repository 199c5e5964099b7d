"""What a run's figures say, in one table and three sentences."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mfnet.report.ablation import FULL
from mfnet.scoring.statistics import compare_methods

MEAN_HEAD, ONE_VIEW, THREE_VIEWS = "mean_head", "mfnet_1", "mfnet_3"


def overview(rows: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """CD in mm with a row for each method and a column for each protocol and bin, and which cells are a column's best.

    rows: summary rows (protocol, bin, method, CD). The mask is bool [methods, 1 + columns], the name's column included.
    """
    table = rows.assign(column=rows.protocol + " " + rows.bin.astype(str))
    order = list(dict.fromkeys(table.column))
    table = table.pivot(index="method", columns="column", values="CD")
    table = table.loc[list(dict.fromkeys(rows.method)), order]
    best = (table == table.min()).to_numpy()
    return table.reset_index(), np.concatenate([np.zeros((len(table), 1), bool), best], axis=1)


def findings(rows: pd.DataFrame, scores: Mapping[str, pd.DataFrame], differences: pd.DataFrame | None) -> list[str]:
    """Up to three sentences: how good the best answer is, what views bring, which terms of the loss matter.

    rows: summary rows; scores: protocol -> scores; differences: `mfnet.report.ablation.ablation_differences`. What a
    run did not measure has no sentence.
    """
    protocol = "lab" if "lab" in scores else "wild"
    sentences = [_best(rows, protocol), _views(scores[protocol]) if protocol in scores else None, _terms(differences)]
    return [sentence for sentence in sentences if sentence]


def _best(rows: pd.DataFrame, protocol: str) -> str | None:
    own = rows.loc[(rows.protocol == protocol) & (rows.bin == "all")].set_index("method")
    if MEAN_HEAD not in own.index or own.CD.isna().all():
        return None
    best, mean = own.loc[own.CD.idxmin()], own.CD[MEAN_HEAD]
    interval = f"[{best.CD_low:.2f}, {best.CD_high:.2f}]"
    share = f"{best.CD / mean:.0%} of the mean head's {mean:.2f} mm"
    return f"In {protocol}, {best.name} is nearest to the scans: {best.CD:.2f} mm {interval}, {share}."


def _views(scores: pd.DataFrame) -> str | None:
    if not {ONE_VIEW, THREE_VIEWS} <= set(scores["method"]):
        return None
    pair = compare_methods(scores, THREE_VIEWS, ONE_VIEW)
    return (
        f"Feed-forward, three views are {_verdict(pair['low'], pair['high'])} one: {pair['mean_first']:.2f} against "
        f"{pair['mean_second']:.2f} mm, paired {pair['difference']:+.2f} [{pair['low']:.2f}, {pair['high']:.2f}]."
    )


def _terms(differences: pd.DataFrame | None) -> str | None:
    if differences is None or len(differences) < 2:
        return None
    others = differences.loc[differences.variant != FULL]
    certain = others.loc[(others.low > 0) | (others.high < 0)]
    if not len(certain):
        return f"None of the {len(others)} ablations differs from the full loss by more than its interval."
    named = (f"{row.variant} {row.difference:+.3f} mm [{row.low:.3f}, {row.high:.3f}]" for row in certain.itertuples())
    return (
        f"Of {len(others)} ablations {len(certain)} differ from the full loss by more than the items' interval: "
        f"{'; '.join(named)}."
    )


def _verdict(low: float, high: float) -> str:
    """Of a paired difference of errors with its interval."""
    if high < 0:
        return "ahead of"
    return "behind" if low > 0 else "level with"
