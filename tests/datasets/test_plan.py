"""The plan: valid, different, balanced and reproducible triplets; splits that share no subject."""

import itertools

import numpy as np
import pandas as pd
import pytest

from mfnet.datasets import multipie
from mfnet.datasets.plan import SLOTS, plan_triplets
from mfnet.datasets.scan import manifest_of
from mfnet.errors import InputError
from mfnet.params import PlanParams
from tests.settings import EXACT_PLAN, having

PARAMS = having(EXACT_PLAN, triplets=200, validation_share=0.25)


def changed(**keys) -> PlanParams:
    return PARAMS.model_validate(PARAMS.model_dump() | keys)


def manifest(subjects=range(1, 9), recordings=((1, 1), (1, 2)), cameras=None, illuminations=(0, 7, 16)) -> pd.DataFrame:
    cameras = cameras or [*multipie.YAW, *multipie.CEILING]
    rows = []
    for subject, (session, recording), *rest in itertools.product(subjects, recordings, cameras, illuminations):
        fields = (f"{subject:03d}", session, recording, *rest)
        rows.append((multipie.image_path(*fields), f"{len(rows):016x}"))
    return manifest_of(*zip(*sorted(rows), strict=True))


def test_every_triplet_is_what_it_says():
    table = manifest()
    plan = plan_triplets(table, PARAMS)
    assert len(plan) == 200 and list(plan["triplet"]) == list(range(200))
    images = table.set_index("path")
    for slot in SLOTS:
        seen = images.loc[plan[slot]].reset_index()
        for column in ("subject", "session", "recording", "expression"):
            assert (seen[column] == plan[column]).all()
        for column in ("yaw", "illumination", "checksum"):
            assert (seen[column] == plan[f"{column}_{slot}"]).all()
        assert not seen["camera"].isin(multipie.CEILING).any()
    assert (plan["yaw_frontal"] == 0).all()
    assert plan["yaw_right"].between(15, 75).all() and plan["yaw_left"].between(-75, -15).all()
    assert plan["yaw_left"].nunique() == 5 and plan["yaw_right"].nunique() == 5
    assert not plan.duplicated(list(SLOTS)).any()


def test_splits_share_no_subject_and_subjects_share_alike():
    plan = plan_triplets(manifest(), PARAMS)
    subjects = plan.groupby("split")["subject"].unique()
    assert len(subjects["val"]) == 2 and not set(subjects["val"]) & set(subjects["train"])
    assert set(plan["subject"].value_counts()) == {25}


def test_seed_decides():
    table = manifest()
    pd.testing.assert_frame_equal(plan_triplets(table, PARAMS), plan_triplets(table.copy(), PARAMS))
    other = plan_triplets(table, changed(seed=3))
    assert not plan_triplets(table, PARAMS)["left"].equals(other["left"])


def test_one_illumination_where_asked():
    plan = plan_triplets(manifest(), changed(same_illumination=True))
    assert (plan["illumination_frontal"] == plan["illumination_left"]).all()
    assert (plan["illumination_frontal"] == plan["illumination_right"]).all()
    free = plan_triplets(manifest(), PARAMS)
    assert (free["illumination_frontal"] != free["illumination_left"]).any()


def test_an_archive_with_few_triplets_gives_all_of_them_and_says_so(caplog):
    table = manifest(subjects=(1, 2), recordings=((1, 1),), cameras=("05_1", "19_0", "08_0", "09_0"))
    plan = plan_triplets(table, changed(triplets=1000))
    assert len(plan) == 2 * 3 * 3 * 6  # subjects, frontal and right illuminations, left views
    assert not plan.duplicated(list(SLOTS)).any()
    assert "1000 triplets asked for" in caplog.text and "only 108" in caplog.text


def test_a_poor_subject_gives_all_it_has_and_the_others_make_up_for_it():
    table = manifest(subjects=(1, 2, 3), recordings=((1, 1),))
    poor = (table["subject"] == "002") & ~(
        table["camera"].isin(["05_1", "19_0", "08_0"]) & (table["illumination"] == 0)
    )
    counts = plan_triplets(table[~poor], changed(triplets=21))["subject"].value_counts()
    assert counts.to_dict() == {"001": 10, "003": 10, "002": 1}


@pytest.mark.parametrize(
    "cameras", [["05_1", "19_0"], ["19_0", "08_0"], ["05_1", "19_1", "08_1"], ["05_1", "24_0", "11_0"]]
)
def test_no_triplet_is_a_clear_error(cameras):
    with pytest.raises(InputError, match=r"manifest\.parquet: no frontal, left and right view") as caught:
        plan_triplets(manifest(cameras=cameras), PARAMS)
    assert "\n" not in str(caught.value)


def test_views_of_different_recordings_are_no_triplet():
    table = manifest(subjects=(1, 2))
    split = table[(table["recording"] == 1) ^ (table["camera"] == "05_1")]
    with pytest.raises(InputError, match="no frontal"):
        plan_triplets(split, PARAMS)


def test_one_subject_cannot_be_split():
    with pytest.raises(InputError, match=r"plan\.validation_share"):
        plan_triplets(manifest(subjects=(1,)), PARAMS)
    assert set(plan_triplets(manifest(subjects=(1,)), changed(validation_share=0.0))["split"]) == {"train"}


def test_draw_is_uniform_over_views():
    plan = plan_triplets(manifest(subjects=range(1, 41)), changed(triplets=8000))
    share = plan["yaw_left"].value_counts(normalize=True)
    assert np.allclose(share, 0.2, atol=0.02)


def test_expressions_share_alike_as_far_as_subjects_have_them():
    """Multi-PIE's sessions: everybody shows a neutral face, and some people lack most of the others."""
    parts = [
        manifest(subjects, recordings, illuminations=(0, 7))
        for subjects, recordings in (
            (range(1, 5), ((1, 1), (1, 2))),
            (range(5, 17), ((1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3), (4, 1), (4, 2), (4, 3))),
            (range(17, 21), ((1, 1), (2, 1), (4, 1), (4, 3))),
        )
    ]
    plan = plan_triplets(pd.concat(parts, ignore_index=True), changed(triplets=600))
    counts = plan["expression"].value_counts()
    assert len(counts) == 6 and counts.min() >= 97 and counts.max() <= 103
    assert set(plan["subject"].value_counts()) == {30}
    shown = plan.groupby("subject")["expression"].nunique()
    assert (shown.loc["005":"016"] == 6).all() and (shown.loc["001":"004"] == 2).all()


def test_two_expressions_alternate_within_a_subject():
    plan = plan_triplets(manifest(), PARAMS)
    assert set(plan.groupby(["subject", "expression"]).size()) <= {12, 13}


def test_a_reserve_stands_behind_the_plan():
    plan = plan_triplets(manifest(), changed(reserve=0.1))
    planned, spare = plan[~plan["reserve"]], plan[plan["reserve"]]
    assert len(planned) == 200 and len(spare) == 20 and list(plan["triplet"]) == list(range(220))
    assert not plan["reserve"].iloc[:200].any() and not plan.duplicated(list(SLOTS)).any()
    assert set(planned["subject"].value_counts()) == {25} and spare["subject"].value_counts().max() <= 3
    of_subject = plan.groupby("subject")["split"].nunique()
    assert (of_subject == 1).all() and set(spare["split"]) == {"train", "val"}


def test_an_archive_without_more_triplets_has_no_reserve():
    table = manifest(subjects=(1, 2), recordings=((1, 1),), cameras=("05_1", "19_0", "08_0"), illuminations=(0,))
    assert not plan_triplets(table, changed(triplets=2, reserve=1.0))["reserve"].any()
