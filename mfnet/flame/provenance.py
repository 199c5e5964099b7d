"""Whose a head model is, and under which licence: carried by every file that is made of it."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from mfnet.errors import fail

_LONGEST = 2000
_PREFIX = "provenance_"


@dataclass(frozen=True)
class Provenance:
    """What a head's owner says of it; texts for people, not checked against anything."""

    edition: str = "not named"
    """Such as ``FLAME 2023 Open``."""
    licence: str = "not declared"
    """Such as ``CC-BY-4.0``."""
    attribution: str = ""
    """Whom the licence wants named."""

    def __str__(self) -> str:
        return ". ".join(filter(None, [f"{self.edition}, licence {self.licence}", self.attribution]))


def provenance_fields(provenance: Provenance) -> dict[str, np.ndarray]:
    """The texts as fields of a head's npz."""
    return {_PREFIX + field.name: np.array(getattr(provenance, field.name)) for field in fields(Provenance)}


def provenance_from_fields(stored: dict, path: str | Path) -> Provenance:
    """The inverse of `provenance_fields`; what is not there is not declared. Raises InputError for what is no text."""
    found = {}
    for field in fields(Provenance):
        value = stored.get(_PREFIX + field.name)
        if value is None:
            continue
        if not (isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind == "U"):
            fail(path, _PREFIX + field.name, "is not one text")
        text = str(value.item())
        if len(text) > _LONGEST or not text.isprintable():
            fail(path, _PREFIX + field.name, f"is no line of at most {_LONGEST} characters")
        found[field.name] = text
    return Provenance(**found)
