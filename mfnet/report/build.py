"""Gathers the sections, the table for machines and the plot data into the report's folder."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mfnet.audit.recorded import versions_in_lock
from mfnet.benchmark.names import ABLATION
from mfnet.flame import Flame, load_project_head
from mfnet.io.files import atomic_directory, write_json
from mfnet.licences import manifest, verdict
from mfnet.params import Params
from mfnet.report import contents
from mfnet.report.ablation import ablation_differences, ablation_runs
from mfnet.report.headline import headline
from mfnet.report.page import write_page
from mfnet.report.plots_page import plots_page
from mfnet.scoring.statistics import summary_rows


def build_report(params: Params, data: str | Path = "data", out: str | Path = "data/report") -> None:
    """Read the artifacts below `data`, write the report into `out` (replaced whole) and the headline beside it.

    Writes report.html, report.md, summary.json, licences.json, tables/*.csv, plots/*.csv with the page to show them
    in, and pictures/*.png; and `data`/metrics.json.
    """
    data = Path(data)
    flame = load_project_head(data / "head", params.flame)
    licences = manifest(params, flame.provenance, versions_in_lock(Path()))
    scores, main, rows, differences = benchmark_figures(params, data)
    runs = ablation_runs(params, data, scores.get("wild"))
    sections = [contents.pictures_section(params, data), contents.results_section(rows, main, differences)]
    sections += [contents.benchmark_section(rows, main[name], name) for name in params.benchmark.protocols]
    sections += [contents.error_section(data / "benchmark" / name / "meshes.npz", name) for name in main]
    sections += [
        contents.ablation_section(runs, differences),
        contents.published_section(),
        contents.training_section(data),
    ]
    sections += [contents.weights_section(data), contents.data_section(data), contents.docs_section(data)]
    sections += [contents.licences_section(licences)]
    with atomic_directory(out) as folder:
        write_page(sections, params.report.title, subtitle(params, flame, verdict(licences).reason), folder)
        write_json(
            {"verdict": verdict(licences)._asdict(), "files": [row._asdict() for row in licences]},
            folder / "licences.json",
        )
        write_json(_without_nan(rows), folder / "summary.json")
        write_plots(rows, runs, data, folder / "plots")
        (folder / "plots" / "page.html").write_text(plots_page(), encoding="utf-8")
    write_json(headline(rows, data), data / "metrics.json")


class BenchmarkFigures(NamedTuple):
    """What a benchmark's scores say."""

    scores: dict[str, pd.DataFrame]
    """Protocol -> all scores, the ablation's included."""
    main: dict[str, pd.DataFrame]
    """Protocol -> the scores of the methods alone."""
    rows: pd.DataFrame
    """Summary rows of `main`."""
    differences: pd.DataFrame | None
    """`ablation_differences`; None where wild was not run."""


def benchmark_figures(params: Params, data: Path) -> BenchmarkFigures:
    """Read the scores below `data` and summarise them."""
    scores = {
        name: pd.read_parquet(data / "benchmark" / name / "scores.parquet") for name in params.benchmark.protocols
    }
    main = {name: table.loc[~table.method.str.startswith(ABLATION)] for name, table in scores.items()}
    options = (params.benchmark.bootstrap, params.benchmark.seed)
    rows = pd.DataFrame([row for table in main.values() for row in summary_rows(table, *options)])
    differences = ablation_differences(params, scores["wild"]) if "wild" in scores else None
    return BenchmarkFigures(scores, main, rows, differences)


def subtitle(params: Params, flame: Flame, may_show: str) -> str:
    """One line that says what was run: head and its licence, network, loss; and whether it may be shown."""
    head = f"head {params.flame.model} ({flame.content_hash[:12]}; {flame.provenance})"
    model, loss = params.model, params.loss
    return (
        f"MFNet with {model.backbone} x {model.width:g} and {model.fusion} fusion on {head}; flow by "
        f"{loss.flow_estimator}, gradient {loss.flow_gradient}; every figure is of subjects never trained on. "
        f"{may_show}"
    )


def write_plots(rows: pd.DataFrame, runs: pd.DataFrame, data: Path, folder: Path) -> None:
    """The tables behind `dvc plots`: history.csv, benchmark.csv, ablation.csv."""
    folder.mkdir()
    pd.read_parquet(data / "train" / "history.parquet").to_csv(folder / "history.csv", index=False)
    whole = rows.loc[rows.bin == "all"]  # bars of every bin would be a hundred
    label = whole.protocol + " " + whole.method
    whole.assign(label=label)[["label", "CD"]].to_csv(folder / "benchmark.csv", index=False)
    label = runs.variant + "-" + runs.seed.astype(str)
    runs.assign(label=label)[["label", "CD"]].to_csv(folder / "ablation.csv", index=False)


def _without_nan(rows: pd.DataFrame) -> list[dict]:
    """Records with None where there is no number: JSON has no NaN."""
    return [{key: None if value != value else value for key, value in row.items()} for row in rows.to_dict("records")]
