"""Profiles: complete params from the embedded profile and a file of what differs, written with a comment on every key.

The embedded profile ships with the package (``embedded.yaml``). ``params/<name>.yaml`` of a checkout are overlays: they
hold only what differs from it. `write_profile` makes the complete params.yaml of one; params.yaml alone is what stages
read, so it stays the whole record of a run.
"""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mfnet.io.files import atomic_path
from mfnet.params import Params, ParamsError, Section, describe, load_params, overlaid, read_mapping

EMBEDDED = Path(__file__).with_name("embedded.yaml")
"""The base of every profile: what `make repro` runs and what the shipped weights were made for."""
FOLDER = Path("params")
"""Overlays of the checkout one stands in."""
WIDTH = 120
SCHEMA_LINE = "# yaml-language-server: $schema="
"""Before the path of the JSON schema by which editors complete and check."""
GROUPS = {
    "flame": "head model",
    "capture": "photographs",
    "sampler": "learning",
    "refine": "fitting",
    "ablation": "evidence",
    "compute": "machine",
}
"""Section -> title of the group of sections that begins with it."""


# --------------------------------------------------------------------------------------------------------- composition


def load_profile(name: str | Path = "embedded", folder: str | Path = FOLDER) -> Params:
    """The complete params of a profile: ``embedded``, an overlay in `folder` by its name, or one by its path.

    Raises ParamsError, which names the file and every faulty key.
    """
    path = _profile_path(name, Path(folder))
    if path == EMBEDDED:
        return load_params(EMBEDDED)
    return compose(read_mapping(path), str(path))


def compose(changes: dict[str, Any], origin: str) -> Params:
    """The embedded profile with `changes` laid over it (`mfnet.params.overlaid`), validated as a whole.

    origin: where the changes come from, for the ParamsError of keys that are unknown or do not fit.
    """
    try:
        return validated(overlaid(read_mapping(EMBEDDED), changes))
    except ValidationError as error:
        raise ParamsError(f"{origin}: {describe(error)}") from None


def validated(raw: dict[str, Any]) -> Params:
    """Params of plain values. Raises pydantic's ValidationError."""
    return Params.model_validate_json(json.dumps(raw, default=str))


def _profile_path(name: str | Path, folder: Path) -> Path:
    """The file of a profile. Raises ParamsError, which lists the known ones, where there is none."""
    if name == EMBEDDED.stem:
        return EMBEDDED
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join([EMBEDDED.stem, *sorted(each.stem for each in folder.glob("*.yaml"))])
        raise ParamsError(f"{path}: no such profile; known are {known}, or name a file")
    return path


def write_profile(name: str | Path, out: str | Path = "params.yaml", folder: str | Path = FOLDER) -> list[str]:
    """Write the complete params of a profile, commented, to `out`, atomically -> what changed, ``key: old -> new``.

    The changes are to the file that stood at `out`, or to the embedded profile where there was none.

    Raises ParamsError for an unknown profile, faulty keys, and an `out` that is no params file.
    """
    params, out = load_profile(name, folder), Path(out)
    before = read_mapping(out if out.exists() else EMBEDDED)
    text = render(params, header(_profile_path(name, Path(folder))))
    with atomic_path(out) as beside:
        beside.write_text(text, encoding="utf-8")
    return changes_between(before, read_mapping(out))


def changes_between(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """One line a key that differs, ``train.lr: 0.0002 -> 0.001``, in the order of the new file."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    paths = [*after, *(path for path in before if path not in after)]
    values = {path: [_value(each[path]) if path in each else "(none)" for each in (before, after)] for path in paths}
    return [f"{path}: {was} -> {now}" for path, (was, now) in values.items() if was != now]


def _leaves(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict) and value:
            yield from _leaves(value, here)
        else:
            yield here, value


# ------------------------------------------------------------------------------------------------------------- writing


def header(path: str | Path) -> list[str]:
    """The comment lines at the top of a params file, up to the first other line, without the line of the schema."""
    lines = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith(SCHEMA_LINE):
            lines.append(line)
    return lines


def render(params: Params, head: list[str], schema: str = "params.schema.json") -> str:
    """A complete params file: head (comment lines), then every key under its comment, the docstring of its field."""
    lines = [f"{SCHEMA_LINE}{schema}", *head]
    for name, section in params:
        lines.append("")
        if name in GROUPS:
            title = GROUPS[name]
            lines += [f"# {'-' * (WIDTH - 3 - len(title))} {title}", ""]
        lines += _comment(type(section).__doc__ or "", "")
        lines += [f"{name}:", *_section(section, "  ")]
    return "\n".join(lines) + "\n"


def fields_of(section: type[Section]) -> list[str]:
    """Names of a section's keys in the order of files: what chooses the others comes first."""
    return sorted(section.model_fields, key=lambda name: name != "source")


def plain(text: str) -> str:
    """A docstring as running text: one line, literals in single backticks."""
    return " ".join(text.split()).replace("``", "`")


def _section(section: Section, indent: str) -> Iterator[str]:
    """The lines of a section's keys."""
    kind = type(section)
    for name in fields_of(kind):
        value = getattr(section, name)
        yield from _comment(kind.model_fields[name].description or "", indent)
        if isinstance(value, Section):
            yield f"{indent}{name}:"
            yield from _section(value, f"{indent}  ")
        elif isinstance(value, dict) and value:
            yield f"{indent}{name}:"
            yield from (f"{indent}  {_value(key)}: {_value(each)}" for key, each in value.items())
        elif len(line := f"{indent}{name}: {_value(value)}") <= WIDTH or not isinstance(value, list):
            yield line
        else:
            yield f"{indent}{name}:"
            yield from (f"{indent}  - {_value(each)}" for each in value)


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(plain(text), WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _value(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, Section):
        value = value.model_dump()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each) for each in value)}]"
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), sort_keys=False)
    return text.removesuffix("...\n").strip()
