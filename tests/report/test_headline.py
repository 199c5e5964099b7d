"""What `dvc metrics show` shows, and the page of `dvc plots show`."""

import re

import pandas as pd

from mfnet.io.files import write_json
from mfnet.report.headline import headline
from mfnet.report.plots_page import plots_page


def test_the_headline_is_one_figure_a_method_over_all_items(tmp_path):
    (tmp_path / "train").mkdir()
    write_json({"diverged": 0, "val/landmark_px": 1.2, "steps": 26}, tmp_path / "train" / "metrics.json")
    rows = [("lab", "all", "mfnet_3", 2.00004), ("lab", "f=300", "mfnet_3", 3.0), ("wild", "all", "mean_head", None)]
    rows += [("lab", "all", "mfnet_3_posed", 1.0)]
    table = pd.DataFrame(rows, columns=["protocol", "bin", "method", "CD"])
    expected = {"lab": {"mfnet_3": 2.0}, "wild": {"mean_head": None}, "landmark_px": 1.2}
    assert headline(table, tmp_path) == expected


def test_the_page_of_plots_needs_no_network_and_has_dvcs_places():
    page = plots_page()
    assert page.count("{plot_divs}") == 1 and page.count("{refresh_tag}") == 1 and "{scripts}" not in page
    assert "window.vegaEmbed=" in page and not re.search(r"<(script|link)[^>]+(src|href)=", page)
    assert page.count("</script") == 1
