"""The plan: which three photographs make a triplet, and which subjects are held out."""

import logging
from functools import reduce
from typing import cast

import numpy as np
import pandas as pd

from mfnet.datasets.multipie import FRONTAL, YAW
from mfnet.errors import InputError
from mfnet.params import PlanParams

SLOTS = ("frontal", "left", "right")
"""Order of the views everywhere. ``right``: the camera stands on the subject's right, yaw > 0."""

_IMAGE_COLUMNS = (("path", ""), ("yaw", "yaw_"), ("illumination", "illumination_"), ("checksum", "checksum_"))

log = logging.getLogger(__name__)


def plan_triplets(manifest: pd.DataFrame, params: PlanParams) -> pd.DataFrame:
    """Draw triplets: a frontal anchor and one side view from each side, of the same subject, session and recording.

    One row a triplet: triplet (0 ... n-1), split (train, val), subject, session, recording, expression, then per slot s
    the path ``s``, ``yaw_s`` (degrees), ``illumination_s`` and ``checksum_s`` (so that the plan differs wherever one of
    its images does). No triplet comes twice; every subject gives as many as any other, as far as it has them; splits
    share no subject. Rows are shuffled inside each split, train first.

    Raises InputError where the manifest holds no triplet, or one subject only though some are to be held out.
    """
    pools = {slot: _pool(manifest, slot, params) for slot in SLOTS}
    groups = _groups(pools, params)
    if groups.empty:
        sizes = ", ".join(f"{len(pool)} {slot}" for slot, pool in pools.items())
        raise InputError(
            f"data/multipie/manifest.parquet: no frontal, left and right view ({FRONTAL} and side yaws of "
            f"{params.min_side_yaw:g} to {params.max_side_yaw:g} degrees) of the same subject, session and recording "
            f"({sizes} views): widen plan.min_side_yaw, plan.max_side_yaw or plan.same_illumination"
        )
    capacity = cast(pd.Series, groups.groupby("subject")["capacity"].sum())  # pandas says: anything
    quota = _quotas(capacity.to_numpy(), params.triplets)
    if quota.sum() < params.triplets:
        log.warning("plan: %d triplets asked for, the archive holds only %d", params.triplets, quota.sum())
    held_out = _held_out(capacity.index.to_numpy(), params)
    drawn = [
        _draw(groups.loc[groups["subject"] == s], pools, n, params) for s, n in zip(capacity.index, quota, strict=True)
    ]
    plan = pd.concat(drawn, ignore_index=True)
    order = np.random.default_rng(params.seed).permutation(len(plan))
    plan = plan.iloc[order].reset_index(drop=True)
    plan.insert(0, "split", np.where(plan["subject"].isin(held_out), "val", "train"))
    plan = plan.sort_values("split", kind="stable", ignore_index=True)
    plan.insert(0, "triplet", np.arange(len(plan)))
    return plan


def _pool(manifest: pd.DataFrame, slot: str, params: PlanParams) -> pd.DataFrame:
    """The images that may stand in `slot`, ordered by group and path. Ceiling cameras are in no slot."""
    if slot == "frontal":
        chosen = manifest["camera"] == FRONTAL
    else:
        side = manifest["yaw"] if slot == "right" else -manifest["yaw"]
        chosen = manifest["camera"].isin(YAW) & (side > 0) & side.between(params.min_side_yaw, params.max_side_yaw)
    return manifest.loc[chosen].sort_values([*_keys(params), "path"], ignore_index=True)


def _keys(params: PlanParams) -> list[str]:
    """What the three views of a triplet have in common."""
    return ["subject", "session", "recording"] + (["illumination"] if params.same_illumination else [])


def _groups(pools: dict[str, pd.DataFrame], params: PlanParams) -> pd.DataFrame:
    """One row for each group of images that can form triplets: keys, per slot start and count in its pool, capacity."""
    counts = []
    for slot, pool in pools.items():
        size = cast(pd.Series, pool.groupby(_keys(params)).size())  # pandas says: or a frame
        count = size.rename(f"count_{slot}").reset_index()
        count[f"start_{slot}"] = count[f"count_{slot}"].cumsum() - count[f"count_{slot}"]
        counts.append(count)
    groups = reduce(lambda left, right: left.merge(right, on=_keys(params)), counts)
    groups["capacity"] = groups[[f"count_{slot}" for slot in SLOTS]].prod(axis=1)
    return groups.sort_values(_keys(params), ignore_index=True)


def _quotas(capacity: np.ndarray, total: int) -> np.ndarray:
    """Share `total` out as evenly as the capacities allow; what does not divide goes to the first ones."""
    quota = np.zeros_like(capacity)
    while (left := min(total, capacity.sum()) - quota.sum()) > 0:
        open_ones = np.flatnonzero(quota < capacity)
        step = np.full(len(open_ones), left // len(open_ones))
        step[: left % len(open_ones)] += 1
        quota[open_ones] += np.minimum(step, capacity[open_ones] - quota[open_ones])
    return quota


def _held_out(subjects: np.ndarray, params: PlanParams) -> np.ndarray:
    """The subjects of the val split: at least one where any are asked for, never all."""
    if params.validation_share == 0:
        return subjects[:0]
    if len(subjects) < 2:
        raise InputError(
            f"data/multipie/manifest.parquet: triplets of one subject only ({subjects[0]}): "
            f"none can be held out, set plan.validation_share to 0"
        )
    count = min(max(round(params.validation_share * len(subjects)), 1), len(subjects) - 1)
    return np.random.default_rng(params.seed).permutation(subjects)[:count]


def _draw(groups: pd.DataFrame, pools: dict[str, pd.DataFrame], count: int, params: PlanParams) -> pd.DataFrame:
    """`count` different triplets of one subject, uniform over all that its groups hold."""
    last = groups["capacity"].cumsum().to_numpy()
    rng = np.random.default_rng([params.seed, int(groups["subject"].iloc[0])])
    number = rng.choice(last[-1], size=count, replace=False)
    index = np.searchsorted(last, number, side="right")
    group = groups.iloc[index]
    remainder = number - (last - groups["capacity"].to_numpy())[index]
    rows = {}
    for slot in SLOTS:
        remainder, member = np.divmod(remainder, group[f"count_{slot}"].to_numpy())
        rows[slot] = pools[slot].iloc[group[f"start_{slot}"].to_numpy() + member].reset_index(drop=True)
    plan = rows["frontal"][["subject", "session", "recording", "expression"]].copy()
    for column, prefix in _IMAGE_COLUMNS:
        for slot in SLOTS:
            plan[f"{prefix}{slot}"] = rows[slot][column]
    return plan
