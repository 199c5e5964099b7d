"""Whether landmarks can be those of the photographs that they are said to be of.

A detector's score says how sure it is, not whether it looked at the right image. What is known besides: where the
camera stands, that a head is rigid, that people differ, and what the embedded network sees when it looks again
(measured where the image is at hand, in `mfnet.landmarks.table`). `measure` puts each into a column, `sort_out` rejects
rows by `landmarks.gates`; a column that is wrong in many rows stops the stage (`mfnet.datasets.quality.check_gates`).
"""

from typing import cast

import numpy as np
import pandas as pd

from mfnet.datasets.plan import SLOTS
from mfnet.landmarks.rigid import MeanHead, Stance, disagreement, stance
from mfnet.params import GateParams

LEAST_GROUP = 8
"""Recordings seen by a camera below which their spread is not looked at."""
_RECORDING = ["subject", "session", "recording"]


def measure(found: pd.DataFrame, plan: pd.DataFrame, head: MeanHead, gates: GateParams) -> pd.DataFrame:
    """The landmark table with what is to be judged, one column each; NaN or null where there is nothing to judge.

    yaw (shown by the points, degrees), yaw_error (against the camera's, -180 to 180), facing and misfit (`Stance`),
    box_shift (distance of the points' centre from the box's, over its side), same_as (path of another recording's image
    with equal landmarks), spread (root mean square deviation of the camera's shapes from their mean), disagreement (the
    least among those of the image's triplets, over triplets whose images pass the other gates), visible (68 bool: what
    is seen of the mean head from the camera's yaw).
    """
    images = found[["path"]].merge(_cameras(plan), on="path", how="left", validate="one_to_one")
    points = np.stack(list(found["landmarks"])).reshape(-1, 68, 2).astype(np.float64)
    standing = stance(points, head)
    camera = images["yaw"].to_numpy(np.float64)
    measured = found.assign(
        yaw=standing.yaw.round(2),
        yaw_error=((standing.yaw - camera + 180) % 360 - 180).round(2),
        facing=standing.facing.round(4),
        misfit=standing.misfit.round(4),
        box_shift=_box_shift(points, found).round(4),
        same_as=_same_as(found, images),
        spread=_spread(standing, images).round(4),
        visible=[head.seen_from(yaw) for yaw in camera],
    )
    passes = (_reasons(measured, gates) == "").to_numpy()
    measured["disagreement"] = _least_disagreement(found["path"], standing, passes, plan).round(4)  # pyright: ignore[reportArgumentType]
    return measured


def sort_out(measured: pd.DataFrame, gates: GateParams) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(rows that pass, path and reason of the others)."""
    reasons = _reasons(measured, gates)
    lost = measured.loc[reasons != "", ["path"]].assign(reason=reasons[reasons != ""])
    passed = measured.loc[reasons == ""].drop(columns="same_as")
    return passed.reset_index(drop=True), lost.astype("str").reset_index(drop=True)


def bounds(gates: GateParams) -> dict[str, tuple[float | None, float | None]]:
    """Column -> least and greatest value that passes."""
    look = gates.second_look
    return {
        "facing": (gates.min_facing, None),
        "yaw_error": (-gates.max_yaw_error, gates.max_yaw_error),
        "misfit": (None, gates.max_misfit),
        "box_shift": (None, gates.max_box_shift),
        "look_score": (None if look is None else look.min_score, None),
        "look_distance": (None, None if look is None else look.max_distance),
        "disagreement": (None, gates.max_disagreement),
    }


_SAY = {
    "facing": "points upside down, mirrored or in mirrored order: the head looks away ({:.2f})",
    "yaw_error": "not seen from this camera: yaw is off by {:.0f} degrees",
    "misfit": "no head has these points: {:.2f} of its height off",
    "box_shift": "points outside the detector's box: centre off by {:.2f} of its side",
    "look_score": "no face where the points are: second look scores {:.2f}",
    "look_distance": "points beside the face: second look finds it {:.2f} of its side away",
    "disagreement": "views of one head disagree: {:.3f} of its height",
}
"""The reason of a row that fails a column's bounds, in the order in which they are looked at."""


def _reasons(measured: pd.DataFrame, gates: GateParams) -> pd.Series:
    """The first reason against each row; empty where there is none."""
    same = cast(pd.Series, measured["same_as"])
    reasons = same.map(lambda path: f"same landmarks as {path}", na_action="ignore").fillna("")
    for column, (least, greatest) in bounds(gates).items():
        if column in measured:
            low = -np.inf if least is None else least
            high = np.inf if greatest is None else greatest
            fails = (measured[column].notna() & ~measured[column].between(low, high)) & (reasons == "")
            reasons[fails] = [_SAY[column].format(value) for value in measured.loc[fails, column]]
    return reasons


def _cameras(plan: pd.DataFrame) -> pd.DataFrame:
    """path, yaw of its camera, subject, session and recording of every planned image."""
    slots = [plan[[slot, f"yaw_{slot}", *_RECORDING]].set_axis(["path", "yaw", *_RECORDING], axis=1) for slot in SLOTS]
    return pd.concat(slots).drop_duplicates(subset="path")  # pyright: ignore[reportCallIssue]


def _box_shift(points: np.ndarray, found: pd.DataFrame) -> np.ndarray:
    """Distance of the centres of points [N, 68, 2] and boxes over the boxes' sides; NaN without a box."""
    boxes = np.stack([np.full(4, np.nan) if box is None else np.asarray(box, np.float64) for box in found["box"]])
    low, high = boxes[:, :2], boxes[:, 2:]
    middle = (points.min(1) + points.max(1)) / 2
    return np.linalg.norm(middle - (low + high) / 2, axis=1) / np.maximum((high - low).max(1), 1e-9)


def _same_as(found: pd.DataFrame, images: pd.DataFrame) -> pd.Series:
    """Path of an image of another camera or recording with equal landmarks, or null.

    One recording seen by one camera under several flashes may be annotated once.
    """
    content = pd.Series([np.asarray(flat, np.float32).tobytes() for flat in found["landmarks"]])
    scene = images[[*_RECORDING, "yaw"]].apply(tuple, axis=1)
    scenes = scene.groupby(content).transform("nunique")
    others = pd.Series(None, index=found.index, dtype="object")
    for _, rows in found.loc[scenes.to_numpy() > 1, "path"].groupby(content):
        for index in rows.index:
            others[index] = next(path for other, path in rows.items() if scene[other] != scene[index])  # pyright: ignore[reportGeneralTypeIssues]
    return others


def _spread(standing: Stance, images: pd.DataFrame) -> np.ndarray:
    """Per row, root mean square deviation of its camera's shapes from their mean; NaN for few recordings."""
    spread = np.full(len(images), np.nan)
    for _, group in images.groupby("yaw"):
        if len(group.drop_duplicates(_RECORDING)) >= LEAST_GROUP:
            shapes = standing.shape[group.index]
            spread[group.index] = np.sqrt(np.square(shapes - shapes.mean(0)).sum(2).mean())
    return spread


def _least_disagreement(paths: pd.Series, standing: Stance, passes: np.ndarray, plan: pd.DataFrame) -> np.ndarray:
    """Per row, the least disagreement among its triplets whose three images pass; NaN where it is in none.

    So an image is blamed where every triplet that it is in disagrees: the others of a triplet clear themselves by
    theirs, and where none does it is not known which of the three is wrong.
    """
    row = pd.Series(np.arange(len(paths)), index=paths)
    triplets = plan[list(SLOTS)].apply(lambda slot: slot.map(row))
    triplets = triplets.dropna().to_numpy(np.int64)
    triplets = triplets[passes[triplets].all(1)]
    least = np.full(len(paths), np.inf)
    if len(triplets):
        value = disagreement(standing.shape[triplets])
        for slot in range(len(SLOTS)):
            np.minimum.at(least, triplets[:, slot], value)
    return np.where(np.isinf(least), np.nan, least)
