"""Write what is generated from the docstrings of ``mfnet/params.py``, or say what is out of date.

    python scripts/document_params.py
    python scripts/document_params.py --check

Generated are the comments of params.yaml and of the embedded profile (values and the lines on top stay), the JSON
schemas by which editors complete and check params.yaml and the overlays in params/, and docs/parameters.md.
"""

import argparse
import copy
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from mfnet.errors import InputError
from mfnet.io.files import atomic_path
from mfnet.params import Params, Section, load_params
from mfnet.profiles import EMBEDDED, WIDTH, fields_of, header, load_profile, plain, render

ROOT = Path(__file__).parents[1]
INTRODUCTION = """# Parameters

Generated from `mfnet/params.py` by `python scripts/document_params.py`; do not edit. Every key must stand in
`params.yaml` and no other may. Behind a key: its type, and its value in the embedded profile. `mfnet profile NAME`
writes the complete `params.yaml` of a profile: `embedded`, or what `params/NAME.yaml` changes of it. One key is changed
by hand or for one run by `dvc exp run -S train.lr=0.001`.
"""


def generated(root: Path = ROOT) -> dict[Path, str]:
    """File -> its text as it should be."""
    embedded = root / "mfnet" / EMBEDDED.name
    return {
        root / "params.yaml": rendered(root / "params.yaml", "params.schema.json"),
        embedded: rendered(embedded, "../params.schema.json"),
        root / "params.schema.json": as_json(schema()),
        root / "params" / "overlay.schema.json": as_json(overlay_schema()),
        root / "docs" / "parameters.md": page(root),
    }


def rendered(path: Path, schema_path: str) -> str:
    """A params file with its own values and today's comments."""
    return render(load_params(path), header(path), schema_path)


def as_json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1) + "\n"


def schema() -> dict[str, Any]:
    """JSON schema of params.yaml."""
    made = Params.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "mfnet params.yaml"}


def overlay_schema() -> dict[str, Any]:
    """The same for an overlay, which holds what differs: nothing is required, and a source may stand unsaid."""

    def loosened(node: Any) -> Any:
        if isinstance(node, list):
            return [loosened(each) for each in node]
        if not isinstance(node, dict):
            return node
        dropped = ("required", "discriminator")
        kept = {("anyOf" if key == "oneOf" else key): loosened(each) for key, each in node.items()}
        return {key: each for key, each in kept.items() if not (key in dropped and not _is_schema(each))}

    return {**loosened(copy.deepcopy(schema())), "title": "mfnet params/*.yaml"}


def _is_schema(value: Any) -> bool:
    """Whether a value under a key such as `required` is the schema of a property of that name."""
    return isinstance(value, dict) and ("type" in value or "anyOf" in value)


# ---------------------------------------------------------------------------------------------------------------- page


def page(root: Path) -> str:
    """docs/parameters.md."""
    embedded, trained = load_profile("embedded"), load_profile("from-scratch", root / "params")
    lines = [INTRODUCTION]
    for name, section in embedded:
        lines += [f"## {name}", "", *_wrapped(type(section).__doc__ or ""), ""]
        lines += [*_keys(section, getattr(trained, name)), ""]
    return "\n".join(lines).rstrip() + "\n"


def _keys(section: Section, trained: Section | None) -> Iterator[str]:
    """Bullets of a section's keys, nested sections below them; trained: the section in from-scratch."""
    kind = type(section)
    properties = kind.model_json_schema()["properties"]
    for name in fields_of(kind):
        field, value = kind.model_fields[name], getattr(section, name)
        members = [each for each in get_args(field.annotation) if isinstance(each, type) and issubclass(each, Section)]
        if len(members) > 1:
            yield from _union(name, field.description or "", value, getattr(trained, name), members)
        elif isinstance(value, Section):
            yield from _wrapped(f"`{name}` (section{', or null' if members else ''}): {field.description}", "- ", "  ")
            yield from (f"  {line}" for line in _keys(value, None))
        else:
            kind_and_value = f"{type_text(properties[name])}; `{_short(value)}`"
            yield from _wrapped(f"`{name}` ({kind_and_value}): {field.description}", "- ", "  ")


def _union(name: str, text: str, value: Section, trained: Section, members: list[type[Section]]) -> Iterator[str]:
    """Bullets of a section whose keys depend on its source."""
    yield from _wrapped(f"`{name}` (section by `source`): {text}", "- ", "  ")
    for member in members:
        yield ""
        yield from _wrapped(f"with `source: {_source(member)}`: {member.__doc__}", "  ", "  ")
        yield ""
        shown = next((each for each in (value, trained) if type(each) is member), None)
        if shown is not None:
            if shown is trained:
                yield from _wrapped("Values of `params/from-scratch.yaml`.", "  ", "  ")
                yield ""
            yield from (f"  {line}" for line in _keys(shown, None))
            continue
        properties = member.model_json_schema()["properties"]
        for key in fields_of(member):
            about = f"`{key}` ({type_text(properties[key])}): {member.model_fields[key].description}"
            yield from _wrapped(about, "  - ", "    ")
    yield ""


def _source(member: type[Section]) -> str:
    return get_args(member.model_fields["source"].annotation)[0]


def _short(value: Any) -> str:
    """A value for the page, on one line; what is long is cut."""
    if isinstance(value, dict):
        return f"{len(value)} entries"
    if isinstance(value, list) and any(isinstance(each, Section) for each in value):
        return f"{len(value)} entries"
    text = "null" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:56]} ..."


def type_text(node: dict[str, Any]) -> str:
    """A JSON schema of a value in words: ``integer >= 1``, ``wild or lab``."""
    if "anyOf" in node:
        return " or ".join(type_text(each) for each in node["anyOf"])
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return " or ".join(f"`{each}`" for each in node["enum"])
    if node.get("type") == "array":
        inner = type_text(node["items"]) if "items" in node else "values"
        return f"list of {inner}"
    if "$ref" in node:
        return "section"
    bounds = [f"{sign} {node[key]}" for key, sign in SIGNS.items() if key in node]
    kind = {"object": "mapping"}.get(node.get("type", ""), node.get("type", "value"))
    return f"{kind} {', '.join(bounds)}".strip()


SIGNS = {
    "minimum": ">=",
    "exclusiveMinimum": ">",
    "maximum": "<=",
    "exclusiveMaximum": "<",
    "multipleOf": "multiple of",
}
"""A JSON schema's bounds as the page writes them."""


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    """A docstring as lines that may be indented further; first, rest: before the first line and the others."""
    marks = {"initial_indent": first, "subsequent_indent": rest}
    return textwrap.wrap(plain(text), WIDTH - 6, **marks, break_long_words=False, break_on_hyphens=False)


# ---------------------------------------------------------------------------------------------------------------- main


def outdated(root: Path = ROOT) -> list[Path]:
    """Generated files that are missing or differ from what they should be."""
    return [
        path for path, text in generated(root).items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file is out of date")
    args = parser.parse_args()
    try:
        files, old = generated(), outdated()
    except InputError as error:
        sys.exit(f"{parser.prog}: error: {error}")
    for path in old:
        print(path.relative_to(ROOT))
        if not args.check:
            with atomic_path(path) as beside:
                beside.write_text(files[path], encoding="utf-8")
    sys.exit(1 if args.check and old else 0)


if __name__ == "__main__":
    main()
