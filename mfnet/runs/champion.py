"""Which version of a registered model is the champion: the rule, and the reason in words. No MLflow here."""

from dataclasses import dataclass

ALIAS = "champion"


@dataclass(frozen=True)
class Candidate:
    """A network's claim to be the champion."""

    figure: str
    """What is compared, such as ``lab/all/mfnet_3/CD``; the lower one is the better."""
    value: float | None
    """mm; None where there is no number."""
    items: str
    """MD5 of the benchmark that it was measured on; figures of two benchmarks are not compared."""
    diverged: bool
    """Whether its training did."""


def judged(new: Candidate, old: Candidate | None, margin: float) -> tuple[bool, str]:
    """Whether the alias moves to `new`, and why it does or does not.

    old: the champion, None where there is none; margin: mm by which the figure must be below the champion's.
    """
    if new.diverged:
        return False, "its training diverged"
    if new.value is None:
        return False, f"it has no {new.figure}"
    said = f"{new.figure} {new.value:.4f} mm"
    if old is None or old.value is None:
        return True, f"{said}, the first one with a figure"
    if new.figure != old.figure:
        return False, f"{said}; the champion was measured by {old.figure}: not comparable, move the alias by hand"
    if new.items != old.items:
        return False, f"{said}; the champion was measured on other items: not comparable, move the alias by hand"
    gain = old.value - new.value
    compared = f"{said}, the champion's {old.value:.4f}: {gain:+.4f} mm gained, more than {margin:g} wanted"
    return gain > margin, compared
