"""Write the tables of README.md and docs/results.md from the committed metrics, or say what is out of date.

    python scripts/document_results.py
    python scripts/document_results.py --check

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``. The findings are those of the report,
from the scores of a complete run; where `data/` has none, they are left as they are.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from mfnet.benchmark.names import METHODS
from mfnet.io.files import atomic_path
from mfnet.params import load_params
from mfnet.report.build import benchmark_figures
from mfnet.report.findings import findings
from mfnet.scoring.statistics import BINS

ROOT = Path(__file__).parents[1]
FILES = ("README.md", "docs/results.md")
README_ROWS = {
    "mean_head": "mean head, posed by its landmarks",
    "mfnet_1": "MFNet, feed-forward",
    "mfnet_3": "MFNet, feed-forward",
    "mfnet_3_refined": "MFNet, fitted to landmarks and flow",
}
"""Method -> what README calls it."""
LAB_BINS = ("all", "f=1200", "f=600", "f=300")
NONE = "–"


def tables(metrics: dict[str, float | None]) -> dict[str, str]:
    """Name of each generated table -> its Markdown. metrics: "protocol/bin/method/figure" -> value."""
    wild = [("wild", name) for name in BINS["fswild"]]
    lab = [("lab", name) for name in LAB_BINS]
    return {
        "readme": _readme(metrics),
        "wild": _by_bin(metrics, wild),
        "lab": _by_bin(metrics, lab),
    }


def _cell(metrics: dict[str, float | None], protocol: str, name: str, method: str) -> str:
    """CD and its interval; `NONE` where the method was not run."""
    values = [metrics.get(f"{protocol}/{name}/{method}/{figure}") for figure in ("CD", "CD_low", "CD_high")]
    mean, low, high = values
    return NONE if mean is None else f"{mean:.2f} [{low:.2f},{high:.2f}]"


def _by_bin(metrics: dict[str, float | None], columns: list[tuple[str, str]]) -> str:
    """Methods as rows, bins as columns, the least CD of a column in bold; a method without any figure has no row."""
    names = [method.name for method in METHODS]
    best = {
        (protocol, name): min(
            (value, method) for method in names if (value := metrics.get(f"{protocol}/{name}/{method}/CD")) is not None
        )[1]
        for protocol, name in columns
    }
    rows = []
    for method in names:
        cells = [_cell(metrics, *column, method) for column in columns]
        if any(cell != NONE for cell in cells):
            marks = ["**" if best[column] == method else "" for column in columns]
            rows.append([method, *(f"{mark}{cell}{mark}" for mark, cell in zip(marks, cells, strict=True))])
    return _markdown(["method", *(name if name != "all" else f"{protocol}, all" for protocol, name in columns)], rows)


def _readme(metrics: dict[str, float | None]) -> str:
    rows = []
    for method in METHODS:
        if method.name in README_ROWS:
            cells = [_cell(metrics, protocol, "all", method.name) for protocol in ("lab", "wild")]
            rows.append([README_ROWS[method.name], str(method.views), *cells])
    return _markdown(["method", "views", "CD lab (mm)", "CD wild (mm)"], rows)


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table without blanks beside its bars: five intervals in bold just fit a line."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"|{'|'.join(line)}|" for line in lines)


def found(root: Path) -> str | None:
    """The findings as a list, from the scores of a run; None where there are no scores."""
    params, data = load_params(root / "params.yaml"), root / "data"
    if not all((data / "benchmark" / name / "scores.parquet").is_file() for name in params.benchmark.protocols):
        return None
    _, main, rows, differences = benchmark_figures(params, data)
    return "\n".join(f"- {sentence}" for sentence in findings(rows, main, differences))


def generated(root: Path = ROOT) -> dict[Path, str]:
    """File -> its text as it should be."""
    metrics = {}
    for protocol in ("wild", "lab"):
        metrics |= json.loads((root / "data" / "benchmark" / protocol / "metrics.json").read_text(encoding="utf-8"))
    parts = tables(metrics)
    sentences = found(root)
    if sentences is not None:
        parts["findings"] = sentences
    return {root / name: filled((root / name).read_text(encoding="utf-8"), parts) for name in FILES}


def filled(text: str, parts: dict[str, str]) -> str:
    """A document with its generated parts written anew; a part that is not in `parts` stays."""

    def replacement(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- generated: {name} -->\n{parts[name]}\n<!-- end -->" if name in parts else match[0]

    return re.sub(r"<!-- generated: (?P<name>\w+) -->\n.*?<!-- end -->", replacement, text, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is out of date")
    args = parser.parse_args()
    stale = {path: text for path, text in generated().items() if path.read_text(encoding="utf-8") != text}
    for path, text in stale.items():
        print(path.relative_to(ROOT))
        if not args.check:
            with atomic_path(path) as beside:
                beside.write_text(text, encoding="utf-8")
    sys.exit(1 if args.check and stale else 0)


if __name__ == "__main__":
    main()
