"""Many people at once: a CSV that says who is on which photograph."""

import csv
import io
from pathlib import Path

from mfnet.errors import InputError
from mfnet.io.files import read_bytes

COLUMNS = ["person", "photograph"]
"""Of the CSV, in its first line."""
_MAX_BYTES = 1 << 23


def read_people(path: str | Path) -> dict[str, list[Path]]:
    """The photographs of each person, in the order of the CSV: one line a photograph, relative to the CSV's folder.

    A person's name becomes a folder, so it is a plain file name. Raises InputError, which names the line, for a file
    that is no such CSV.
    """
    path = Path(path)
    try:
        rows = list(csv.reader(io.StringIO(read_bytes(path, _MAX_BYTES).decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV in UTF-8: {error}") from None
    if not rows or [name.strip() for name in rows[0]] != COLUMNS:
        raise InputError(f"{path}: line 1: the columns are {','.join(COLUMNS)}")
    people: dict[str, list[Path]] = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        if len(row) != len(COLUMNS) or not all(value.strip() for value in row):
            raise InputError(f"{path}: line {number}: a person and a photograph are wanted")
        name, photograph = (value.strip() for value in row)
        if name != Path(name).name or name in (".", "..") or not (name + photograph).isprintable():
            raise InputError(f"{path}: line {number}: person '{name}' is no plain folder name")
        people.setdefault(name, []).append(path.parent / photograph)
    if not people:
        raise InputError(f"{path}: no people in it")
    return people
