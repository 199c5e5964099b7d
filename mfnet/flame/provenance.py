"""Whose a head model is, and under which licence: carried by every file that is made of it."""

import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np

from mfnet.errors import fail

_LONGEST = 2000
_PREFIX = "provenance_"
UNDECLARED = "not declared"
Shown = Literal["yes", "no", "not declared"]
"""Whether pictures of results may be shown to others."""
OPEN = re.compile(r"(CC0-1\.0|CC-BY(-SA)?-\d\.\d|Apache-2\.0|MIT|BSD-[23]-Clause)(, .*)?")
"""Licences that let one show what is made with a file, with what may follow their name."""


def shown_by_licence(licence: str) -> Shown:
    """Whether pictures may be shown, as far as a licence's name says."""
    return "yes" if OPEN.fullmatch(licence) else UNDECLARED


@dataclass(frozen=True)
class Provenance:
    """What a head's owner says of it; texts for people, not checked against anything."""

    edition: str = "not named"
    """Such as ``FLAME 2023 Open``."""
    licence: str = "not declared"
    """Such as ``CC-BY-4.0``."""
    attribution: str = ""
    """Whom the licence wants named."""
    may_show: str = ""
    """``yes`` or ``no``: whether its owner lets others be shown pictures of it; empty: what the licence says."""

    @property
    def shown(self) -> Shown:
        """Whether pictures of the head may be shown to others."""
        if self.may_show:
            return "yes" if self.may_show == "yes" else "no"
        return shown_by_licence(self.licence)

    def declaration(self) -> dict[str, str]:
        """All of it for a file that is made of the head, `shown` in place of what may be empty."""
        return asdict(self) | {"may_show": self.shown}

    def __str__(self) -> str:
        return ". ".join(filter(None, [f"{self.edition}, licence {self.licence}", self.attribution]))


def provenance_fields(provenance: Provenance) -> dict[str, np.ndarray]:
    """The texts as fields of a head's npz; one that is empty has none."""
    return {_PREFIX + name: np.array(text) for name, text in asdict(provenance).items() if text}


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
        if field.name == "may_show" and text not in ("", "yes", "no"):
            fail(path, _PREFIX + field.name, "is neither yes nor no")
        found[field.name] = text
    return Provenance(**found)
