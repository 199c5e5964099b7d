"""The one exception for bad input."""

from pathlib import Path
from typing import Never


class InputError(ValueError):
    """Bad input from outside: a file, a table, a params key.

    The message is one line that names the file and the field and says what to do. Commands and stages print it without
    a traceback and exit with status 1; anything else that escapes is a defect of ours and keeps its traceback.
    """


def fail(path: str | Path, name: str, problem: str) -> Never:
    """Raise the one-line error that names file and field."""
    raise InputError(f"{path}: field '{name}' {problem}")
