"""A page is sections of blocks (note, heading, table, picture), written as HTML, as Markdown, and as files beside."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

TEMPLATE = Path(__file__).with_name("template.html")


@dataclass
class PageSection:
    """One titled part of the page; blocks stand in the order they were added."""

    title: str
    folded: bool = False
    """Whether a reader of the HTML must open it: long tables, terms and settings."""
    blocks: list[dict] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Anchor: the title in lower case with dashes."""
        return "-".join(self.title.lower().split())

    def note(self, text: str) -> None:
        """A paragraph that says what is seen."""
        self.blocks.append({"kind": "note", "text": text})

    def heading(self, text: str) -> None:
        """A heading below the section's."""
        self.blocks.append({"kind": "heading", "text": text})

    def picture(self, png: bytes, name: str, text: str) -> None:
        """A PNG, inlined in HTML and written as `name`.png beside the Markdown; `text` is its alternative."""
        self.blocks.append({"kind": "picture", "name": name, "png": png, "text": text})

    def table(
        self,
        table: pd.DataFrame,
        name: str,
        marks: list[str] | None = None,
        form: dict | None = None,
        best: np.ndarray | None = None,
    ) -> None:
        """A table, also written as `name`.csv; `marks` names a row style (``best``, ``marked``) per row.

        form: how the floats of a column are written, by its name; two decimals where it says nothing. best: bool
        [rows, columns], cells in bold.
        """
        marks = marks or [""] * len(table)
        form = dict.fromkeys(table.columns, ".2f") | (form or {})
        bold = np.zeros(table.shape, bool) if best is None else best
        cells = [
            [(_cell(value, form[column]), flag) for (column, value), flag in zip(row.items(), flags, strict=True)]
            for row, flags in zip(table.to_dict("records"), bold.tolist(), strict=True)
        ]
        self.blocks.append(
            {
                "kind": "table",
                "name": name,
                "frame": table,
                "columns": list(table.columns),
                "text_columns": [column for column in table.columns[1:] if table[column].dtype.kind not in "iufb"],
                "rows": [{"cells": row, "mark": mark} for row, mark in zip(cells, marks, strict=True)],
            }
        )


def write_page(sections: list[PageSection], title: str, subtitle: str, folder: Path) -> None:
    """Write report.html (self-contained), report.md, pictures/*.png and tables/*.csv into `folder`."""
    import jinja2

    (folder / "pictures").mkdir()
    (folder / "tables").mkdir()
    for section in sections:
        for block in section.blocks:
            if block["kind"] == "picture":
                (folder / "pictures" / f"{block['name']}.png").write_bytes(block["png"])
                block["data"] = base64.b64encode(block["png"]).decode()
            elif block["kind"] == "table":
                block["frame"].to_csv(folder / "tables" / f"{block['name']}.csv", index=False)
    template = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    page = template.from_string(TEMPLATE.read_text(encoding="utf-8"))
    html = page.render(title=title, subtitle=subtitle, sections=sections)
    (folder / "report.html").write_text(html, encoding="utf-8")
    (folder / "report.md").write_text(_markdown(sections, title, subtitle), encoding="utf-8")


def _cell(value: Any, form: str) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    return f"{value:{form}}" if isinstance(value, float) else str(value)


def _markdown(sections: list[PageSection], title: str, subtitle: str) -> str:
    lines = [f"# {title}", "", subtitle, ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += [*_MARKDOWN[block["kind"]](block), ""]
    return "\n".join(lines)


def _markdown_table(block: dict) -> list[str]:
    def row(cells: Iterable[str]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    return [
        row(block["columns"]),
        row("---" for _ in block["columns"]),
        *(row(f"**{text}**" if bold else text for text, bold in line["cells"]) for line in block["rows"]),
    ]


_MARKDOWN = {
    "note": lambda block: [block["text"]],
    "heading": lambda block: [f"### {block['text']}"],
    "picture": lambda block: [f"![{block['text']}](pictures/{block['name']}.png)"],
    "table": _markdown_table,
}
