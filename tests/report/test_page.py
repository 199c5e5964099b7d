"""The report's page: what a table says in Markdown, in HTML and in the file beside it."""

import numpy as np
import pandas as pd

from mfnet.report.page import PageSection, write_page


def test_floats_are_written_as_their_column_says_and_kept_in_the_file_beside(tmp_path):
    section = PageSection("Figures of a run")
    table = pd.DataFrame(
        {"name": ["a|b", "<c>"], "loss": [0.00661234, 4.0], "CD": [2.0123, float("nan")], "seed": [6, 7]}
    )
    section.table(table, "figures", ["best", ""], form={"loss": "#.3g"})
    write_page([section], "title", "subtitle", tmp_path)
    markdown = (tmp_path / "report.md").read_text().splitlines()
    assert markdown[-2:] == ["| a\\|b | 0.00661 | 2.01 | 6 |", "| <c> | 4.00 | – | 7 |"]
    html = (tmp_path / "report.html").read_text()
    assert "&lt;c&gt;" in html and "<c>" not in html and 'id="figures-of-a-run"' in html
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "tables" / "figures.csv"), table)


def test_bold_cells_and_folded_sections(tmp_path):
    section = PageSection("Long tables", folded=True)
    table = pd.DataFrame({"name": ["a", "b"], "CD": [1.0, 2.0]})
    section.table(table, "long", best=np.array([[False, True], [False, False]]))
    write_page([section], "title", "subtitle", tmp_path)
    assert (tmp_path / "report.md").read_text().splitlines()[-2:] == ["| a | **1.00** |", "| b | 2.00 |"]
    html = (tmp_path / "report.html").read_text()
    assert "<b>1.00</b>" in html and '<details><summary>Long tables</summary><div id="long-tables">' in html
