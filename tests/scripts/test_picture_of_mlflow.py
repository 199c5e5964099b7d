"""The comparison that `mfnet ui` opens, as a person sees it in a browser."""

import shutil

import pytest

from mfnet import tracking
from mfnet.report.sweep import publish_ablation
from mfnet.runs.sender import sync
from mfnet.runs.server import comparison, served
from scripts.picture_of_mlflow import BROWSERS, browser_page, open_comparison
from tests.report.test_sweep import SEEDS, VARIANTS, data, params, wild  # noqa: F401
from tests.runs.conftest import place, store  # noqa: F401


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no Chromium is installed")
def test_the_comparison_has_one_chart_of_the_error_with_a_bar_per_variant_and_seed(params, data, place, store):  # noqa: F811
    with tracking.run("pipeline", "report", {}, {}):
        publish_ablation(params, data)
    sync(place)  # where a busy machine took longer than a stage waits
    with served(store) as server, browser_page(1300, 620) as page:
        (chart,) = open_comparison(page, comparison(store, server.url))
    assert chart[0] == "wild/all/CD"
    assert {f"{variant}-{seed}" for variant in VARIANTS for seed in SEEDS} <= set(chart)
