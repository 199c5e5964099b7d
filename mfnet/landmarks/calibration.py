"""Whether the cameras of a calibrated archive see one head of human size where its landmarks are.

Points that several calibrated cameras see can be triangulated. Where calibration, units and conventions are right, the
result is seen again where the landmarks are, stands before every camera, is a head and no mirror image of one, and is
as large as heads are. A calibration that fails in most of its recordings is refused, with what would mend it where that
is one of the usual mistakes; a single recording that fails has wrong landmarks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mfnet.datasets.calibrated import OTHERWISE, calibration_file
from mfnet.datasets.cameras import CALIBRATION, camera_of
from mfnet.datasets.plan import SLOTS
from mfnet.datasets.rigs import similarity, triangulate
from mfnet.errors import InputError
from mfnet.io.cameras import CalibratedCamera
from mfnet.landmarks.ibug import N_CONTOUR
from mfnet.landmarks.rigid import MeanHead
from mfnet.params import LandmarkParams

LEAST_POINTS = 12
"""Triangulated points below which a recording says nothing."""
PLAINLY = 0.75
"""Another focal length explains the points plainly better where it leaves less than this share of the error."""
FOCAL_LENGTHS = (0.25, 0.5, 0.67, 0.8, 1.25, 1.5, 2.0, 4.0)
"""Factors that are tried."""
LEAST_DOUBT = 0.02
"""Error, over the face's height, below which no other focal length is looked for: it is landmarks' own."""
LOOKED_AT = 40
"""Recordings that judge a calibration."""
UNITS = {1000.0: "millimetres", 100.0: "centimetres", 0.001: "kilometres", 39.37: "inches", 10.0: "decimetres"}
"""How many times too large heads are where a length was written in another unit than metres."""
_SCENE = ["subject", "session", "recording"]


@dataclass(frozen=True)
class Observation:
    """One photograph's landmarks and camera."""

    path: str
    camera: CalibratedCamera
    points: np.ndarray
    """[51, 2] px of the undistorted photograph."""
    seen: np.ndarray
    """[51] whether each is visible."""


@dataclass(frozen=True)
class Sight:
    """What the cameras of one recording say together."""

    error: float
    """Root mean square distance of the landmarks from the triangulated points, over the face's height; NaN where there
    are too few; infinite where the head is behind a camera or a mirror image."""
    size: float
    """Of the triangulated head over the mean head's, in units of the world per metre."""


def sight(views: list[Observation], head: MeanHead) -> Sight:
    """Triangulate the points from brows to mouth of a recording and look at them again."""
    cameras = [view.camera for view in views]
    pixels, seen = np.stack([view.points for view in views]), np.stack([view.seen for view in views])
    world = triangulate(cameras, pixels, seen)
    known = np.isfinite(world).all(1)
    if known.sum() < LEAST_POINTS:
        return Sight(np.nan, np.nan)
    match = similarity(head.static[known], world[known])
    squares = []
    for camera, points, counts in zip(cameras, pixels, seen & known, strict=True):
        image, depth = camera.project(world[counts])
        height = camera.K[1, 1] * match.scale * head.height / np.median(np.abs(depth))
        squares.append(np.square((image - points[counts]) / height).sum(1))
        if np.median(depth) <= 0 or np.linalg.det(match.rotation) < 0:
            return Sight(np.inf, match.scale)
    return Sight(float(np.sqrt(np.concatenate(squares).mean())), match.scale)


def check_cameras(
    found: pd.DataFrame, plan: pd.DataFrame, head: MeanHead, params: LandmarkParams, layout: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(landmarks, rejected) of a calibrated archive whose cameras and landmarks agree.

    found: as `mfnet.landmarks.table.find_landmarks` gives it. The rows that pass have two columns more: reprojection
    (`Sight.error` of the recording) and unit (length in metres of the unit of their cameras' t: 1, or for an arbitrary
    unit such that the triangulated head is as large as the mean one). rejected: path, reason.

    Raises InputError, which names a calibration file and what is wrong with it, where more than
    ``landmarks.max_rejected`` of the images hang on such a one.
    """
    scenes = _scenes(found, plan, head)
    captures: dict[str, list[list[Observation]]] = {}
    for views in scenes:
        captures.setdefault(calibration_file(views[0].path, layout), []).append(views)
    reasons: dict[str, str] = {}
    measures: dict[str, tuple[float, float]] = {}
    for file, recordings in captures.items():
        fault, unit = _judge(recordings, head, params)
        for views in recordings:
            error = sight(views, head).error
            measures |= {
                view.path: (round(error, 4) if np.isfinite(error) else np.nan, round(unit, 9)) for view in views
            }
            if fault is not None:
                reasons |= {view.path: f"calibration: {file}: {fault}" for view in views}
            else:
                text = f"views of one head do not triangulate: off by {error:.2f} of its height"
                reasons |= {view.path: text for view in blamed(views, head, params.gates.max_reprojection)}
    reasons |= _odd_cameras(captures, reasons)
    refused = [reason for reason in reasons.values() if reason.startswith("calibration: ")]
    if len(refused) > params.max_rejected * len(found):
        raise InputError(f"{refused[0].removeprefix('calibration: ')} ({len(refused)} of {len(found)} images)")
    lost = found["path"].isin(list(reasons))
    passed = found.loc[~lost].reset_index(drop=True)
    values = [measures[path] for path in passed["path"]]
    passed = passed.assign(reprojection=[error for error, _ in values], unit=[unit for _, unit in values])
    rejected = found.loc[lost, ["path"]].assign(reason=[reasons[path] for path in found.loc[lost, "path"]])
    return passed, rejected.astype("str").reset_index(drop=True)


def _scenes(found: pd.DataFrame, plan: pd.DataFrame, head: MeanHead) -> list[list[Observation]]:
    """The photographs with landmarks of every recording."""
    columns = ["camera", *CALIBRATION]
    slots = [
        plan[[slot, *_SCENE, f"yaw_{slot}", *(f"{name}_{slot}" for name in columns)]].set_axis(
            ["path", *_SCENE, "yaw", *columns], axis=1
        )
        for slot in SLOTS
    ]
    images = pd.concat(slots).drop_duplicates(subset="path").merge(found[["path", "landmarks"]], on="path")  # pyright: ignore[reportCallIssue]
    groups = images.sort_values("path").groupby(_SCENE)
    return [[_view(row, head) for row in group.to_dict("records")] for _, group in groups]


def _view(row: Mapping, head: MeanHead) -> Observation:
    camera = camera_of(row)
    points = np.asarray(row["landmarks"], np.float64).reshape(-1, 2)[N_CONTOUR:]
    return Observation(row["path"], camera, camera.undistorted(points), head.seen_from(row["yaw"])[N_CONTOUR:])


# --------------------------------------------------------------------------------------------------------- calibrations
def _judge(recordings: list[list[Observation]], head: MeanHead, params: LandmarkParams) -> tuple[str | None, float]:
    """(what is wrong with a calibration, or None; length in metres of its unit)."""
    limit, (least, most) = params.gates.max_reprojection, params.gates.head_size
    error, size = _typical(recordings, head)
    if not np.isfinite(size):
        return None, 1.0  # too few views to say anything
    if recordings[0][0].camera.unit is None:
        unit = 1 / size
    else:
        unit = 1.0
    if error > limit:
        return _explained(recordings, head, error, limit), unit
    if error > LEAST_DOUBT and (better := _focal_length(recordings, head, error, limit)) is not None:
        return better, unit
    if recordings[0][0].camera.unit is not None and not least <= size <= most:
        return _wrong_size(size, least, most), unit
    return None, unit


def _typical(recordings: list[list[Observation]], head: MeanHead) -> tuple[float, float]:
    """Median error and size over recordings, LOOKED_AT at most; NaN where none says anything."""
    some = recordings[:: 1 + (len(recordings) - 1) // LOOKED_AT]
    sights = [each for views in some if np.isfinite((each := sight(views, head)).size)]
    if not sights:
        return np.nan, np.nan
    return float(np.median([each.error for each in sights])), float(np.median([each.size for each in sights]))


def _wrong_size(size: float, least: float, most: float) -> str:
    near = [name for factor, name in UNITS.items() if least <= size / factor <= most]
    guess = f"; its t may be in {near[0]}" if near else ""
    return (
        f"its unit is wrong: triangulated heads are {size:.3g} times as large as the mean one "
        f"({least:g} to {most:g} by landmarks.gates.head_size){guess}"
    )


def _explained(recordings: list[list[Observation]], head: MeanHead, error: float, limit: float) -> str | None:
    """What is wrong with cameras that do not see one head, as far as a usual mistake explains it.

    None where one view of each recording explains it: then its camera or landmarks are wrong, and not the calibration.
    """
    told = "a mirror image or behind a camera" if np.isinf(error) else f"off by {error:.2f} of their height"
    text = f"its cameras do not see one head: points triangulated from landmarks are {told}"
    for cause, mended in MISTAKES.items():
        if _typical(_with(recordings, mended), head)[0] <= limit:
            return f"{text}, and would fit if {cause}"
    if (better := _focal_length(recordings, head, error, limit)) is not None:
        return better
    if all(len(blamed(views, head, limit)) < len(views) for views in recordings):
        return None
    return f"{text} ({limit:g} allowed by landmarks.gates.max_reprojection): K, R or t is wrong"


def _focal_length(recordings: list[list[Observation]], head: MeanHead, error: float, limit: float) -> str | None:
    """That K is wrong, where with another focal length the points fit, and plainly better."""
    errors = {
        factor: _typical(_with(recordings, lambda view, factor=factor: _zoomed(view, factor)), head)[0]
        for factor in FOCAL_LENGTHS
    }
    best = min(errors, key=lambda factor: errors[factor])
    if not errors[best] < min(PLAINLY * error, limit):
        return None
    return (
        f"its K is wrong: with {best:g} times the focal length triangulated points are off by {errors[best]:.3f} of "
        f"the heads' height, not by {error:.3f}"
    )


Mend = Callable[[Observation], Observation]
MISTAKES: Mapping[str, Mend] = {
    **{
        cause: (lambda view, mended=mended: replace(view, camera=mended(view.camera)))
        for cause, mended in OTHERWISE.items()
    },
    "one axis of the pictures or of its cameras were mirrored": lambda view: _reflected(view, -1, 1),
    "pictures or cameras were turned by half a turn": lambda view: _reflected(view, -1, -1),
}
"""Usual mistakes -> a view as it should be then."""


def _reflected(view: Observation, x: int, y: int) -> Observation:
    """The view with the signs of its landmarks' coordinates about the principal point."""
    centre = view.camera.K[:2, 2]
    return replace(view, points=(view.points - centre) * [x, y] + centre)


def _zoomed(view: Observation, factor: float) -> Observation:
    """The view as if its camera had `factor` times the focal length."""
    K = view.camera.K * np.array([[factor, factor, 1], [1, factor, 1], [1, 1, 1]])
    return replace(view, camera=replace(view.camera, K=K))


def _with(recordings: list[list[Observation]], mend: Mend) -> list[list[Observation]]:
    return [[mend(view) for view in views] for views in recordings]


def blamed(views: list[Observation], head: MeanHead, limit: float) -> list[Observation]:
    """The views of a recording that are wrong: none, the one without which the others fit, or all."""
    if not sight(views, head).error > limit:
        return []
    for view in views if len(views) > 2 else []:
        if sight([other for other in views if other is not view], head).error <= limit:
            return [view]
    return views


def _odd_cameras(captures: dict[str, list[list[Observation]]], reasons: dict[str, str]) -> dict[str, str]:
    """Path -> reason of the images of cameras that are blamed in most recordings that they see, two or more."""
    seen: dict[str, list[tuple[str, str]]] = {}
    for file, recordings in captures.items():
        for view in (view for views in recordings for view in views):
            seen.setdefault(view.camera.name, []).append((view.path, file))
    odd: dict[str, str] = {}
    for name, images in seen.items():
        bad = [(path, file) for path, file in images if reasons.get(path, "").startswith("views")]
        if len(bad) >= 2 and 2 * len(bad) > len(images):
            text = f"its cameras see one head but for {name}, whose K, R or t is wrong"
            odd |= {path: f"calibration: {file}: {text}" for path, file in bad}
    return odd
