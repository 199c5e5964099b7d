"""The rule by which a network becomes the champion."""

from dataclasses import replace

import pytest

from mfnet.runs.champion import Candidate, judged

CHAMPION = Candidate("lab/all/mfnet_3/CD", 2.0, "items", diverged=False)


@pytest.mark.parametrize(
    ("new", "moves", "said"),
    [
        ({"value": 1.9}, True, "+0.1000 mm gained"),
        ({"value": 1.96}, False, "more than 0.05 wanted"),
        ({"value": 2.5}, False, "-0.5000 mm gained"),
        ({"value": 1.0, "diverged": True}, False, "its training diverged"),
        ({"value": None}, False, "it has no lab/all/mfnet_3/CD"),
        ({"value": 1.0, "items": "others"}, False, "on other items"),
        ({"value": 1.0, "figure": "wild/all/mfnet_1/CD"}, False, "measured by lab/all/mfnet_3/CD"),
    ],
)
def test_a_network_is_the_champion_if_it_beats_the_champion_where_that_was_measured(new, moves, said):
    moved, reason = judged(replace(CHAMPION, **new), CHAMPION, margin=0.05)
    assert moved is moves and said in reason


def test_the_first_network_with_a_figure_is_the_champion():
    assert judged(CHAMPION, None, 0.05) == (True, "lab/all/mfnet_3/CD 2.0000 mm, the first one with a figure")
    assert not judged(replace(CHAMPION, value=None), None, 0.05)[0]
