"""The ablation in MLflow: equal names for all variants, and a summary that says which is better."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from mfnet import tracking
from mfnet.io.files import write_json, write_table
from mfnet.report.ablation import ablation_differences
from mfnet.report.sweep import dropped_term, publish_ablation, summary, variant_figures, verdict
from mfnet.runs.store import all_runs, client_at
from tests.runs.conftest import place, store  # noqa: F401
from tests.settings import EMBEDDED, having

VARIANTS, SEEDS = ("full", "no-eye", "views-1"), (6, 7)


@pytest.fixture(scope="module")
def params():
    return having(EMBEDDED, ablation=having(EMBEDDED.ablation, seeds=list(SEEDS), run=list(VARIANTS)))


@pytest.fixture(scope="module")
def wild() -> pd.DataFrame:
    """Scores in which no-eye is worse than full by 1 mm on every item, and views-1 is its equal."""
    generator = np.random.default_rng(0)
    items = generator.uniform(1, 3, 20)
    worse = {"full": 0.0, "no-eye": 1.0, "views-1": 0.0}
    rows = []
    for variant in VARIANTS:
        for seed in SEEDS:
            noise = generator.normal(0, 0.1, len(items)) * (variant == "views-1")
            for index, value in enumerate(items + worse[variant] + noise):
                row = {"method": f"ablation/{variant}-{seed}", "index": index, "CD": value, "MNE": 0.1, "CR": 1.0}
                rows.append(row)
    return pd.DataFrame(rows)


@pytest.fixture
def data(params, wild, tmp_path):
    """What the stages leave, as far as the sweep is made of it; one run has diverged."""
    folder = tmp_path / "data"
    for variant in VARIANTS:
        for seed in SEEDS:
            own = folder / "ablation" / f"{variant}-{seed}"
            own.mkdir(parents=True)
            (own / "model.safetensors").write_text(f"{variant} {seed}")
            diverged = int((variant, seed) == ("no-eye", 7))
            write_json({"diverged": diverged, "val/landmark_px": None if diverged else 0.9}, own / "metrics.json")
    figures = {
        f"wild/{name}/ablation/{variant}-{seed}/{figure}": 1.5
        for name in ("all", "0-5")
        for variant in VARIANTS
        for seed in SEEDS
        for figure in ("CD", "CD_low", "MNE", "CR")
    }
    for protocol, metrics in {"wild": figures, "lab": {"lab/all/mfnet_3/CD": 2.5}}.items():
        (folder / "benchmark" / protocol).mkdir(parents=True)
        write_json(metrics, folder / "benchmark" / protocol / "metrics.json")
        write_table(wild, folder / "benchmark" / protocol / "scores.parquet")
    return folder


@pytest.mark.slow
def test_a_sweep_is_one_experiment_of_flat_runs_with_equal_names(params, data, store):  # noqa: F811
    for _ in range(2):  # the second time there is nothing new to record
        with tracking.run("pipeline", "report", {}, {}):
            publish_ablation(params, data)
    client = client_at(store)
    experiment = client.get_experiment_by_name("ablation")
    runs = {run.info.run_name: run for run in all_runs(store) if run.info.experiment_id == experiment.experiment_id}
    assert len(all_runs(store)) == 7 + 2
    assert set(runs) == {f"{variant}-{seed}" for variant in VARIANTS for seed in SEEDS} | {"summary"}
    charted = {name for name, run in runs.items() if "wild/all/CD" in run.data.metrics}
    assert charted == set(runs) - {"summary"}
    tags = runs["no-eye-7"].data.tags
    assert (tags["variant"], tags["seed"], tags["dropped_term"], tags["diverged"]) == ("no-eye", "7", "eye", "true")
    assert tags["mlflow.note.content"] == "loss.eye: 0.0" and tags["mlflow.source.name"].endswith("no-eye --seed 7")
    assert "which variant" in experiment.tags["mlflow.note.content"]
    assert runs["full-6"].data.tags["diverged"] == "false" and runs["full-6"].data.metrics["lab/CD"] == 2.5
    assert {run.data.params["loss.eye"] for name, run in runs.items() if name != "summary"} == {"0.0", "1.0"}
    assert all(run.info.status == "FINISHED" for run in runs.values())
    files = {file.path for file in client.list_artifacts(runs["summary"].info.run_id)}
    assert files == {"ablation.md", "ablation.csv", "ablation.png"}
    assert "| no-eye | 2 | 20 |" in runs["summary"].data.tags["mlflow.note.content"]


def test_the_summary_has_spread_paired_difference_interval_and_verdict(params, wild):
    table = ablation_differences(params, wild)
    lines = {line.split(" | ")[0].strip("| "): line for line in summary(table).splitlines()}
    assert lines["no-eye"].endswith("| +1.0000 | +1.0000 to +1.0000 | worse than full |")
    assert lines["views-1"].endswith("| cannot be told from full |")
    one_seed = summary(table.assign(seeds=1, spread=math.nan))
    assert "one seed" in one_seed and "nan" not in one_seed
    assert "nothing to compare with" in summary(pd.DataFrame())


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-2, -1, "better than full"), (1, 2, "worse than full"), (-1, 1, "cannot be told from full")],
)
def test_a_verdict_follows_from_the_interval(low, high, said):
    assert verdict({"low": low, "high": high}) == said


def test_figures_are_those_of_the_variants_own_run(params, data):
    figures = {name: json.loads((data / "benchmark" / name / "metrics.json").read_text()) for name in ("wild", "lab")}
    found = variant_figures(figures, "full", 6, params)
    assert set(found) == {f"wild/{name}/{figure}" for name in ("all", "0-5") for figure in ("CD", "MNE", "CR")} | {
        "lab/CD"
    }
    assert "lab/CD" not in variant_figures(figures, "full", 7, params)
    assert [dropped_term(params, name) for name in VARIANTS] == ["none", "eye", "none"]
