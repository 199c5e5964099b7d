"""The gates on landmarks: good ones pass with room, each planted lie is rejected with its reason."""

import numpy as np
import pandas as pd
import pytest

from mfnet.datasets.plan import SLOTS
from mfnet.landmarks.gates import measure, sort_out
from mfnet.landmarks.ibug import MIRRORED
from tests.landmarks.faces import found_table, head, person, photograph
from tests.settings import EMBEDDED, having

GATES = EMBEDDED.landmarks.gates
PEOPLE = 12
SIDES = [(-45.0, 30.0), (-15.0, 75.0), (-60.0, 15.0)]


def planned() -> pd.DataFrame:
    """Three triplets of each of twelve people, all with the same frontal image."""
    rows = []
    for number in range(PEOPLE):
        for yaws in ((0.0, *sides) for sides in SIDES):
            row = {"subject": f"{number:03d}", "session": 1, "recording": 1}
            row |= {slot: f"{number:02d}/{yaw:+.0f}" for slot, yaw in zip(SLOTS, yaws, strict=True)}
            rows.append(row | {f"yaw_{slot}": yaw for slot, yaw in zip(SLOTS, yaws, strict=True)})
    return pd.DataFrame(rows)


def photographs(noise: float = 2.0) -> dict[str, np.ndarray]:
    """Landmarks of all planned images by path, with the error of the embedded network (2 px of 170: 1.2 px of 128)."""
    yaws = [0.0, *(yaw for sides in SIDES for yaw in sides)]
    return {
        f"{number:02d}/{yaw:+.0f}": photograph(person(number), yaw, noise, 100 * number + place)
        for number in range(PEOPLE)
        for place, yaw in enumerate(yaws)
    }


def judged(rows: dict[str, np.ndarray], table: pd.DataFrame | None = None) -> dict[str, str]:
    """path -> reason of the rejected ones."""
    measured = measure(found_table(rows) if table is None else table, planned(), head(), GATES)
    passed, rejected = sort_out(measured, GATES)
    assert len(passed) + len(rejected) == len(rows)
    return dict(zip(rejected["path"], rejected["reason"], strict=True))


def test_good_landmarks_pass_with_room():
    measured = measure(found_table(photographs(noise=4)), planned(), head(), GATES)
    assert sort_out(measured, GATES)[1].empty
    assert measured["yaw_error"].abs().max() < 0.85 * GATES.max_yaw_error
    assert measured["misfit"].max() < 0.85 * GATES.max_misfit
    assert measured["disagreement"].max() < 0.85 * GATES.max_disagreement
    assert measured["spread"].min() > 2 * GATES.min_spread
    assert measured["facing"].min() > 0 > GATES.min_facing
    assert len(measured["visible"].iloc[0]) == 68


LIES = {
    "mirrored order": (lambda points: points[MIRRORED], "mirrored order"),
    "picture mirrored": (lambda points: [640, 0] + points * [-1, 1], "mirrored order"),
    "upside down": (lambda points: [0, 480] + points * [1, -1], "upside down"),
    "mirror image of the face": (lambda points: [640, 0] + points[MIRRORED] * [-1, 1], "not seen from this camera"),
    "order moved by one": (lambda points: np.roll(points, 1, 0), "no head has these points|upside|not seen"),
    "no face": (lambda points: np.random.default_rng(0).uniform(100, 300, (68, 2)), "no head|upside|not seen"),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("path", ["03/+30", "07/-45"])
def test_one_bad_row_is_rejected_alone(name, path):
    lie, reason = LIES[name]
    rows = photographs()
    rows[path] = lie(rows[path])
    found = judged(rows)
    assert list(found) == [path]
    assert any(part in found[path] for part in reason.split("|")), found[path]


def test_shuffled_landmarks_are_mostly_rejected():
    rows = photographs()
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = dict(zip(rows, [list(rows.values())[i] for i in order], strict=True))
    assert len(judged(shuffled)) > 0.5 * len(rows)


def test_points_that_are_off_their_box_are_rejected():
    rows = photographs()
    table = found_table(rows)
    table.at[5, "landmarks"] = table["landmarks"][5] + np.tile(np.float32([60, 0]), 68)
    (found,) = judged(rows, table).items()
    assert found[0] == table["path"][5] and "points outside the detector's box" in found[1]
    without = found_table(rows, boxes=False)
    assert judged(rows, without) == {}


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [("look_distance", 0.3, "beside the face"), ("look_score", 0.05, "no face where")],
)
def test_what_the_second_look_denies_is_rejected(column, value, reason):
    rows = photographs()
    table = found_table(rows).assign(look_distance=0.02, look_score=0.5)
    table.loc[4, column] = value
    (found,) = judged(rows, table).values()
    assert reason in found
    gates = having(GATES, second_look=None)
    assert sort_out(measure(table, planned(), head(), gates), gates)[1].empty


def test_equal_landmarks_of_different_scenes_are_rejected_and_of_two_flashes_are_not():
    rows = photographs()
    rows["02/+0"] = rows["01/+0"]
    assert judged(rows) == {"01/+0": "same landmarks as 02/+0", "02/+0": "same landmarks as 01/+0"}
    flash = planned()
    flash.loc[flash["frontal"] == "02/+0", "subject"] = "001"
    measured = measure(found_table(rows), flash, head(), GATES)
    assert measured["same_as"].isna().all()


def test_landmarks_that_hardly_differ_have_no_spread():
    rows = photographs()
    template = {path: photograph(person(0), float(path[3:]), 0.2, place) for place, path in enumerate(rows)}
    assert measure(found_table(template), planned(), head(), GATES)["spread"].max() < GATES.min_spread


def test_a_view_that_disagrees_is_named_and_its_fellows_clear_themselves():
    rows = photographs()
    rng = np.random.default_rng(1)
    rows["04/-45"] = rows["04/-45"] + rng.normal(0, 18, (68, 2))
    found = judged(rows)
    assert "04/-45" in found and "views of one head disagree" in found["04/-45"]
    assert set(found) <= {"04/-45", "04/+30"}  # its fellow is in no other triplet; the frontal image is
