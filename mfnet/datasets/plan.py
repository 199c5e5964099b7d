"""The plan: which three photographs make a triplet, and which subjects are held out."""

import logging
import zlib
from functools import reduce
from typing import cast

import numpy as np
import pandas as pd

from mfnet.datasets.cameras import CALIBRATION, MAX_ELEVATION, is_calibrated
from mfnet.datasets.multipie import EXPRESSIONS, FRONTAL, YAW
from mfnet.errors import InputError
from mfnet.params import PlanParams

SLOTS = ("frontal", "left", "right")
"""Order of the views everywhere. ``right``: the camera stands on the subject's right, yaw > 0."""

_IMAGE_COLUMNS = (("path", ""), ("yaw", "yaw_"), ("illumination", "illumination_"), ("checksum", "checksum_"))
_CAMERA_COLUMNS = tuple((name, f"{name}_") for name in ("camera", *CALIBRATION))

_FITS = 100

log = logging.getLogger(__name__)


def plan_triplets(manifest: pd.DataFrame, params: PlanParams) -> pd.DataFrame:
    """Draw triplets: a frontal anchor and one side view from each side, of the same subject, session and recording.

    One row a triplet: triplet (0 ... n-1), split (train, val), reserve, subject, session, recording, expression, then
    per slot s the path ``s``, ``yaw_s`` (degrees), ``illumination_s`` and ``checksum_s`` (so that the plan differs
    wherever one of its images does), and where the manifest has cameras, theirs (`cameras.CALIBRATION`). No triplet
    comes twice; every subject gives as many as any other, as far as it has them, and so does every expression as far as
    its subjects allow; splits share no subject. Rows are shuffled inside each split, train first; behind them stands
    the reserve (``reserve`` is true), the first to be taken first.

    Raises InputError where the manifest holds no triplet, or one subject only though some are to be held out.
    """
    pools = {slot: _pool(manifest, slot, params) for slot in SLOTS}
    groups = _groups(pools, params)
    if groups.empty:
        sizes = ", ".join(f"{len(pool)} {slot}" for slot, pool in pools.items())
        raise InputError(
            f"data/multipie/manifest.parquet: no frontal, left and right view (yaw 0 and side yaws of "
            f"{params.min_side_yaw:g} to {params.max_side_yaw:g} degrees) of the same subject, session and recording "
            f"({sizes} views): widen plan.min_side_yaw, plan.max_side_yaw or plan.same_illumination"
        )
    cells = cast(pd.Series, groups.groupby(["subject", "expression"], sort=True)["capacity"].sum()).reset_index()
    reserve = round(params.reserve * params.triplets)
    turns = _turns(cells, params.triplets + reserve)
    if len(turns) < params.triplets:
        log.warning("plan: %d triplets asked for, the archive holds only %d", params.triplets, len(turns))
    held_out = _held_out(np.asarray(cells["subject"].unique()), params)
    plan = _drawn(turns, cells, groups, pools, params)
    plan.insert(0, "reserve", np.arange(len(plan)) >= params.triplets)
    plan.insert(0, "split", pd.Series(np.where(plan["subject"].isin(held_out), "val", "train"), index=plan.index))  # pyright: ignore[reportArgumentType]
    planned, spare = plan.loc[~plan["reserve"]], plan.loc[plan["reserve"]]
    order = np.random.default_rng(params.seed).permutation(len(planned))
    planned = planned.iloc[order].sort_values("split", kind="stable")
    plan = pd.concat([planned, spare], ignore_index=True)
    plan.insert(0, "triplet", np.arange(len(plan)))
    return plan


def _pool(manifest: pd.DataFrame, slot: str, params: PlanParams) -> pd.DataFrame:
    """The images that may stand in `slot`, ordered by group and path. Cameras far above or below are in no slot."""
    if is_calibrated(manifest):
        level = manifest["elevation"].abs() <= MAX_ELEVATION
        frontal = level & (manifest["yaw"] == 0) & (manifest["elevation"] == 0)
    else:
        level, frontal = manifest["camera"].isin(YAW), manifest["camera"] == FRONTAL
    if slot == "frontal":
        chosen = frontal
    else:
        side = manifest["yaw"] if slot == "right" else -manifest["yaw"]
        chosen = level & (side > 0) & side.between(params.min_side_yaw, params.max_side_yaw)
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
    expressions = pools["frontal"].drop_duplicates(_keys(params))[[*_keys(params), "expression"]]
    return groups.merge(expressions, on=_keys(params)).sort_values(_keys(params), ignore_index=True)


def _turns(cells: pd.DataFrame, total: int) -> np.ndarray:
    """Which cell, of `cells` (subject, expression, capacity), gives each of `total` triplets, as far as there are any.

    Subjects take turns, so that what does not divide goes to the first ones. Each gives the expression of which it is
    most behind its share (`_shares`), or of which all are, where it is behind with none in particular.
    """
    capacity = cells.pivot(index="subject", columns="expression", values="capacity").fillna(0).to_numpy(np.int64)
    number = np.zeros(capacity.shape, np.int64)
    number[capacity > 0] = np.arange(len(cells))
    share = _shares(capacity > 0)
    of_all, holders = share.mean(0), (capacity > 0).sum(0)
    left, given, sums = capacity.copy(), np.zeros(capacity.shape), np.zeros(capacity.shape[1])
    turns, waiting = [], list(range(len(capacity)))
    while waiting and len(turns) < total:
        for subject in waiting[: total - len(turns)]:
            own = (given[subject].sum() + 1) * share[subject] - given[subject]
            behind = own + ((len(turns) + 1) * of_all - sums) / holders
            chosen = int(np.where(left[subject] > 0, behind, -np.inf).argmax())
            turns.append(number[subject, chosen])
            given[subject, chosen] += 1
            sums[chosen] += 1
            left[subject, chosen] -= 1
        waiting = [subject for subject in waiting if left[subject].any()]
    return np.array(turns)


def _shares(available: np.ndarray) -> np.ndarray:
    """Each subject's share of each expression, of those that are available [S, E]: rows sum to 1, columns to the same.

    Every expression has a weight, and subjects give theirs in proportion to it; the weights are fitted in turn to equal
    columns (iterative proportional fitting), as far as that can be had.
    """
    weight = np.ones(available.shape[1])
    for _ in range(_FITS):
        share = available * weight
        share = share / share.sum(1, keepdims=True)
        weight /= share.sum(0)
        weight /= weight.sum()
    return share


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


def _drawn(
    turns: np.ndarray, cells: pd.DataFrame, groups: pd.DataFrame, pools: dict[str, pd.DataFrame], params: PlanParams
) -> pd.DataFrame:
    """The triplets of all turns, in their order."""
    members = groups.groupby(["subject", "expression"], sort=True)
    order = np.argsort(turns, kind="stable")  # the turns of each cell, one cell after the other
    counts = np.bincount(turns, minlength=len(cells))
    drawn = [_draw(group, pools, count, params) for (_, group), count in zip(members, counts, strict=True) if count > 0]
    return pd.concat(drawn, ignore_index=True).iloc[np.argsort(order)].reset_index(drop=True)


def _draw(groups: pd.DataFrame, pools: dict[str, pd.DataFrame], count: int, params: PlanParams) -> pd.DataFrame:
    """`count` different triplets of one subject and expression, uniform over all that its groups hold."""
    last = groups["capacity"].cumsum().to_numpy()
    rng = np.random.default_rng([params.seed, int(groups["subject"].iloc[0]), _number(groups["expression"].iloc[0])])
    number = rng.choice(last[-1], size=count, replace=False)
    index = np.searchsorted(last, number, side="right")
    group = groups.iloc[index]
    remainder = number - (last - groups["capacity"].to_numpy())[index]
    rows = {}
    for slot in SLOTS:
        remainder, member = np.divmod(remainder, group[f"count_{slot}"].to_numpy())
        rows[slot] = pools[slot].iloc[group[f"start_{slot}"].to_numpy() + member].reset_index(drop=True)
    plan = rows["frontal"][["subject", "session", "recording", "expression"]].copy()
    cameras = _CAMERA_COLUMNS if is_calibrated(rows["frontal"]) else ()
    for column, prefix in (*_IMAGE_COLUMNS, *cameras):
        for slot in SLOTS:
            plan[f"{prefix}{slot}"] = rows[slot][column]
    return plan


def _number(expression: str) -> int:
    """A number of an expression for random streams, the same in every archive."""
    known = sorted(set(EXPRESSIONS.values()))
    return known.index(expression) if expression in known else zlib.crc32(expression.encode())
