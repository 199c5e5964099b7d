"""Tables of an audit as text for a terminal, Markdown, or JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

Form = Literal["text", "markdown", "json"]


def rendered(tables: Mapping[str, Sequence[dict]], form: Form) -> str:
    """All tables in one text; an empty one says so."""
    if form == "json":
        return json.dumps(tables, indent=2, default=str)
    return "\n\n".join(_table(title, rows, form) for title, rows in tables.items())


def _table(title: str, rows: Sequence[dict], form: Form) -> str:
    heading = f"## {title}\n" if form == "markdown" else f"{title.upper()} ({len(rows)})"
    if not rows:
        return f"{heading}\nnone"
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    if form == "text":
        return "\n".join([heading, *("  ".join(line).rstrip() for line in lines)])
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join([heading, *(f"| {' | '.join(line)} |" for line in lines)])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else " ".join(str(value).replace("|", "\\|").split())
