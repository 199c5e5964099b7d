"""The tables of the documents are those of the committed metrics."""

from pathlib import Path

from scripts.document_results import FILES, filled, generated, tables

ROOT = Path(__file__).parents[2]


def test_the_documents_tables_are_those_of_the_committed_metrics():
    for path, text in generated(ROOT).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python scripts/document_results.py"
    assert all("<!-- generated: " in (ROOT / name).read_text(encoding="utf-8") for name in FILES)


def test_the_best_of_a_column_is_bold_and_what_was_not_run_has_no_figure():
    metrics = {}
    for method, error in (("mean_head", 2.0), ("mfnet_1", 1.5), ("mfnet_3", None)):
        for name in ("all", "0-5", "5-30", "30-60", "60-90"):
            metrics[f"wild/{name}/{method}/CD"] = error
            metrics[f"wild/{name}/{method}/CD_low"] = metrics[f"wild/{name}/{method}/CD_high"] = error
        for name in ("all", "f=1200", "f=600", "f=300"):
            metrics[f"lab/{name}/{method}/CD"] = error and 3 - error
            metrics[f"lab/{name}/{method}/CD_low"] = metrics[f"lab/{name}/{method}/CD_high"] = error
    found = tables(metrics)
    assert "|**1.50 [1.50,1.50]**|" in found["wild"] and "mfnet_3" not in found["wild"]
    assert found["lab"].splitlines()[2].startswith("|mean_head|**1.00 ")
    assert "|–|–|" in found["readme"]


def test_a_part_without_new_text_stays():
    text = "a\n<!-- generated: one -->\nold\n<!-- end -->\n<!-- generated: two -->\nkept\n<!-- end -->\n"
    assert filled(text, {"one": "new"}) == text.replace("old", "new")
