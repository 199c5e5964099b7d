"""Ablation tables: differences are paired by seed and item, and a diverged run is flagged."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mfnet.benchmark.protocol import ABLATION
from mfnet.params import load_params
from mfnet.report.ablation import ablation_differences, ablation_runs

ROOT = Path(__file__).parents[2]
SEEDS = [1, 2, 3]


@pytest.fixture
def params():
    params = load_params(ROOT / "params.yaml")
    ablation = params.ablation.model_copy(update={"seeds": SEEDS, "run": ["full", "no-eye", "views-1"]})
    return params.model_copy(update={"ablation": ablation})


@pytest.fixture
def wild():
    """Items differ far more than variants do: no-eye is worse by 0.05, views-1 by its seed's number of hundredths."""
    rng, rows = np.random.default_rng(0), []
    hard = rng.normal(3, 1, 40)
    for seed in SEEDS:
        for variant, worse in (("full", 0.0), ("no-eye", 0.05), ("views-1", 0.01 * seed)):
            for index, level in enumerate(hard):
                row = {"method": f"{ABLATION}{variant}-{seed}", "index": index, "MNE": 0.1, "CR": 0.9}
                rows.append(row | {"CD": level + 0.1 * seed + worse})
    return pd.DataFrame(rows)


def test_differences_are_paired(params, wild):
    table = ablation_differences(params, wild).set_index("variant")
    assert list(table["seeds"]) == [3] * 3 and list(table["items"]) == [40] * 3
    np.testing.assert_allclose(table["difference"], [0, 0.05, 0.02], atol=1e-12)
    np.testing.assert_allclose(table["low"], [0, 0.05, 0.02], atol=1e-9)  # items differ by millimetres, pairs do not
    np.testing.assert_allclose(table["high"], [0, 0.05, 0.02], atol=1e-9)
    np.testing.assert_allclose(table["spread"], [0.1, 0.1, 0.11], atol=1e-9)
    np.testing.assert_allclose(table["spread_difference"], [0, 0, 0.01], atol=1e-9)


def test_an_item_that_one_run_failed_on_counts_for_none(params, wild):
    wild.loc[(wild["method"] == f"{ABLATION}no-eye-2") & (wild["index"] == 7), "CD"] = np.nan
    assert list(ablation_differences(params, wild)["items"]) == [39] * 3


def test_a_diverged_run_is_flagged(params, wild, tmp_path):
    for variant in params.ablation.run:
        for seed in SEEDS:
            folder = tmp_path / "ablation" / f"{variant}-{seed}"
            folder.mkdir(parents=True)
            metrics = {"train/total": 0.1, "steps": 5, "diverged": int((variant, seed) == ("no-eye", 2))}
            (folder / "metrics.json").write_text(json.dumps(metrics))
    runs = ablation_runs(params, tmp_path, wild).set_index(["variant", "seed"])
    assert list(runs.index[runs["diverged"]]) == [("no-eye", 2)] and len(runs) == 9
    assert runs.loc[("views-1", 3), "CD"] == pytest.approx(wild.query("method == 'ablation/views-1-3'")["CD"].mean())
